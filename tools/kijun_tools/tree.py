# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree as data: the clause register, the roles, their controls, and the tests that prove them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

PROOFS = ("tests/behaviour/**/*.py", "tests/awx/**/*.py", "molecule/*/tests/**/*.py")
"""Where a test may prove a control, relative to the checkout."""


@dataclass(frozen=True)
class Role:
    """A role of the collection.

    Attributes:
        name: its directory's name.
        path: its directory.
        controls: what it promises, as written: expressions are not evaluated.
    """

    name: str
    path: Path
    controls: list[dict[str, Any]]

    def defaults(self) -> dict[str, Any]:
        """The role's default variables."""
        merged: dict[str, Any] = {}
        for file in sorted((self.path / "defaults" / "main").glob("*.yml")):
            merged.update(load(file) or {})
        return merged

    def options(self) -> dict[str, dict[str, Any]]:
        """The options that meta/argument_specs.yml documents for the role's entry point ``main``."""
        specs = load(self.path / "meta" / "argument_specs.yml")["argument_specs"]
        options: dict[str, dict[str, Any]] = specs["main"].get("options", {})
        return options

    def limits(self) -> dict[str, dict[str, Any]]:
        """What the role's variables may be."""
        limits: dict[str, dict[str, Any]] = load(self.path / "limits.yml")
        return limits

    def summary(self) -> str:
        """The short description of the role's entry point ``main``."""
        specs = load(self.path / "meta" / "argument_specs.yml")["argument_specs"]
        return str(specs["main"]["short_description"])


def load(path: Path) -> Any:
    """Read a YAML file.

    Args:
        path: the file.

    Returns:
        Its one document.
    """
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def controls_variable(role: str) -> str:
    """Name of the variable that holds a role's controls."""
    return f"{role}_controls"


def register(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """The clause register.

    Args:
        root: the checkout.

    Returns:
        Clause id -> its entry, in the order of the register.

    Raises:
        ValueError: an id stands there twice.
    """
    clauses: dict[str, dict[str, Any]] = {}
    for file in sorted((root / "policy" / "clauses").glob("*.yml")):
        for clause in load(file):
            if clause["id"] in clauses:
                raise ValueError(f"{file}: clause {clause['id']} is there twice")
            clauses[clause["id"]] = clause
    return clauses


def roles(root: Path = ROOT) -> list[Role]:
    """Every role, by name, with its controls.

    Args:
        root: the checkout.
    """
    found = []
    for path in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        file = path / "controls.yml"
        found.append(Role(path.name, path, load(file) if file.exists() else []))
    return found


def controls(root: Path = ROOT) -> list[dict[str, Any]]:
    """The controls of every role."""
    return [control for role in roles(root) for control in role.controls]


def claimed(root: Path = ROOT) -> set[str]:
    """Ids of the clauses that a control claims. A control that is itself pending claims nothing yet."""
    return {clause for control in controls(root) if control["status"] != "pending" for clause in control["clauses"]}


def proofs(root: Path = ROOT) -> dict[str, list[str]]:
    """The tests that prove controls.

    Args:
        root: the checkout.

    Returns:
        Control id -> tests marked ``@pytest.mark.control(ID)``, each as ``file::test``, relative to the checkout.
    """
    found: dict[str, list[str]] = {}
    for pattern in PROOFS:
        for file in sorted(root.glob(pattern)):
            module = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
            for name, ids in _marked_tests(module.body, "", []):
                for identifier in ids:
                    found.setdefault(identifier, []).append(f"{file.relative_to(root)}::{name}")
    return found


def _marked_tests(body: list[ast.stmt], prefix: str, inherited: list[str]) -> list[tuple[str, list[str]]]:
    """The test functions of a module or class, each with the control ids that it is marked with."""
    tests: list[tuple[str, list[str]]] = []
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            tests += _marked_tests(node.body, f"{prefix}{node.name}::", inherited + _control_ids(node.decorator_list))
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            ids = inherited + _control_ids(node.decorator_list)
            if ids:
                tests.append((prefix + node.name, ids))
    return tests


def _control_ids(decorators: list[ast.expr]) -> list[str]:
    """The arguments of ``@pytest.mark.control(...)`` among decorators."""
    return [
        str(argument.value)
        for decorator in decorators
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.control"
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
    ]
