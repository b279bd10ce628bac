# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of every role: documented variables, one screen of tasks, a README."""

from __future__ import annotations

import pytest
from kijun_tools import tree

ROLES = tree.roles()
SCREEN = 60
"""Lines of tasks/main.yml that a reader holds in view."""

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def test_there_are_roles() -> None:
    assert ROLES


@each_role
def test_every_public_variable_is_documented_and_has_a_default(role: tree.Role) -> None:
    public = {name for name in role.defaults() if not name.startswith("_")}
    documented = set(role.options())
    assert not sorted(public - documented), "not in meta/argument_specs.yml"
    assert not sorted(documented - public), "no default in defaults/main"


@each_role
def test_the_audit_sees_the_roles_controls(role: tree.Role) -> None:
    assert role.defaults().get(tree.controls_variable(role.name)) == [f"kijun.baseline.{role.name}"]
    assert (role.path / "controls.yml").is_file()


@each_role
def test_documented_defaults_are_the_defaults(role: tree.Role) -> None:
    defaults = role.defaults()
    stated = {name: option["default"] for name, option in role.options().items() if "default" in option}
    assert stated == {name: defaults[name] for name in stated}


@each_role
def test_every_variable_bears_the_roles_name(role: tree.Role) -> None:
    assert not [name for name in role.defaults() if not name.lstrip("_").startswith(f"{role.name}_")]


@each_role
def test_every_variable_says_what_it_means(role: tree.Role) -> None:
    assert not [name for name, option in role.options().items() if not option.get("description")]


@each_role
def test_tasks_fit_on_one_screen(role: tree.Role) -> None:
    lines = (role.path / "tasks" / "main.yml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= SCREEN


@each_role
def test_role_has_a_readme(role: tree.Role) -> None:
    assert (role.path / "README.md").read_text(encoding="utf-8").strip()
