# SPDX-License-Identifier: GPL-3.0-or-later
"""One version of everything: pyproject.toml, requirements.yml, the lock, galaxy.yml and what is installed agree."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import ansible_collections.ansible.posix as posix
import pytest
from kijun_tools import tree

PROJECT: dict[str, Any] = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (tree.ROOT / "requirements.txt").read_text(encoding="utf-8")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> dict[str, str]:
    """The direct dependencies, runtime and development: name -> version."""
    lines = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    pins = [PIN.fullmatch(line) for line in lines]
    assert all(pins), f"not pinned to one version: {[line for line, pin in zip(lines, pins, strict=True) if not pin]}"
    return {canonical(pin[1]): pin[2] for pin in pins if pin}


def locked() -> dict[str, str]:
    return {canonical(name): version for name, version in PIN.findall(LOCK)}


def test_lock_holds_the_direct_dependencies() -> None:
    pins = locked()
    assert {name: pins.get(name) for name in direct()} == direct(), "run make lock"


def test_every_locked_package_has_hashes() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked())
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_lock_names_no_index_and_no_place_of_this_machine() -> None:
    assert "://" not in LOCK
    options = {line.split()[0] for line in LOCK.splitlines() if line.startswith("-")}
    assert not options, "options of pip belong to the machine"
    assert not re.findall(r"^.*(?:\s@\s|file:|^/).*$", LOCK, flags=re.MULTILINE)


def test_what_is_installed_is_what_is_locked() -> None:
    installed = {canonical(d.metadata["Name"]): d.version for d in importlib.metadata.distributions()}
    wrong = {
        name: (version, installed[name])
        for name, version in locked().items()
        if installed.get(name, version) != version
    }
    assert not wrong, "locked and installed versions differ: run tools/bootstrap"
    assert not set(direct()) - set(installed), "not installed: run tools/bootstrap"


@pytest.mark.parametrize("wanted", tree.load(tree.ROOT / "requirements.yml")["collections"], ids=lambda c: c["name"])
def test_required_collection_is_the_one_that_the_ansible_package_holds(wanted: dict[str, str]) -> None:
    base = Path(next(iter(posix.__path__))).parents[1]
    manifest = json.loads((base / wanted["name"].replace(".", "/") / "MANIFEST.json").read_text(encoding="utf-8"))
    assert manifest["collection_info"]["version"] == wanted["version"]


def test_the_collection_has_one_version() -> None:
    galaxy = tree.load(tree.ROOT / "galaxy.yml")["version"]
    changelog = re.search(r"^## (\S+)", (tree.ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert PROJECT["project"]["version"] == galaxy
    assert changelog
    assert changelog[1] == galaxy, "CHANGELOG.md's newest entry is of another version"


def test_the_oldest_ansible_core_is_the_pinned_one() -> None:
    required = tree.load(tree.ROOT / "meta" / "runtime.yml")["requires_ansible"]
    minor = ".".join(direct()["ansible-core"].split(".")[:2])
    assert required == f">={minor}.0"
