# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed reference is the one that the sources make, and every plugin is documented."""

from __future__ import annotations

import pytest
from kijun_tools import reference, tree


def test_reference_is_up_to_date() -> None:
    assert not reference.differences(), "run make reference"


@pytest.mark.parametrize(("kind", "folder"), [("module", "modules"), ("callback", "callback")])
def test_ansible_doc_reads_every_plugin(kind: str, folder: str) -> None:
    names = {f"{reference.COLLECTION}.{file.stem}" for file in (tree.ROOT / "plugins" / folder).glob("*.py")}
    documented = reference.plugin_docs(kind)
    assert names
    assert set(documented) == names
    for name, found in documented.items():
        assert found["doc"]["short_description"], name
        assert found["doc"]["description"], name


def test_every_module_has_examples_and_says_what_it_returns() -> None:
    lacking = {
        name: [part for part in ("examples", "return") if not found.get(part)]
        for name, found in reference.plugin_docs("module").items()
    }
    assert not {name: parts for name, parts in lacking.items() if parts}


def test_every_action_plugin_has_its_documentation_among_the_modules() -> None:
    actions = {file.name for file in (tree.ROOT / "plugins" / "action").glob("*.py")}
    assert actions
    assert not actions - {file.name for file in (tree.ROOT / "plugins" / "modules").glob("*.py")}
