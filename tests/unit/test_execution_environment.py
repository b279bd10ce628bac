# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: ansible-builder takes its definition, and everything in it is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kijun_lab import execution_environment
from kijun_tools import tree

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
LOCKED = execution_environment.LOCKED.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ansible-builder create` makes of it."""
    folder = tmp_path_factory.mktemp("builder") / "context"
    execution_environment.create(folder)
    return folder


def test_the_lock_is_the_part_of_the_whole_that_runs() -> None:
    whole = dict(PIN.findall((tree.ROOT / "requirements.txt").read_text(encoding="utf-8")))
    part = dict(PIN.findall(LOCKED))
    assert {name: whole.get(name) for name in part} == part, "run make lock"
    assert {"ansible", "ansible-core", "ansible-runner", "psycopg", "pyrage"} <= part.keys()
    assert not {"ansible-builder", "ansible-lint", "molecule", "pytest"} & part.keys()


def test_every_package_of_the_lock_has_hashes_and_no_address() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCKED, flags=re.MULTILINE)[1:]
    assert len(entries) == len(PIN.findall(LOCKED))
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert "://" not in LOCKED


def test_the_containerfile_installs_by_hash_from_a_base_that_can_be_chosen(context: Path) -> None:
    lines = (context / "Containerfile").read_text(encoding="utf-8").splitlines()
    (base,) = [line for line in lines if line.startswith("ARG EE_BASE_IMAGE=")]
    assert re.fullmatch(r'ARG EE_BASE_IMAGE="debian:\d+\.\d+-slim"', base)
    assert "FROM $EE_BASE_IMAGE AS base" in lines
    installs = [line for line in lines if "pip install" in line]
    # The other one is ansible-builder's own, in a stage that is thrown away.
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert [line for line in lines if line.startswith("FROM ")][-1] == "FROM base AS final"
    assert installs[1] in lines[lines.index("FROM base AS builder") : lines.index("FROM base AS final")]
    assert "USER 1000" in lines
    assert 'ENTRYPOINT ["/opt/builder/bin/entrypoint", "dumb-init"]' in lines
    assert not [line for line in lines if "galaxy install" in line or "collection install" in line]


def test_the_context_holds_what_the_definition_names(context: Path) -> None:
    build = context / "_build"
    assert (build / "locked" / "requirements.txt").read_text(encoding="utf-8") == LOCKED
    packages = (build / "bindep.txt").read_text(encoding="utf-8")
    assert {"dumb-init", "git", "openssh-client", "sshpass", "tzdata"} <= set(packages.split())
    assert not list(build.glob("requirements.*")), "what is installed without hashes"


def test_the_collections_that_stay_are_those_that_are_required(context: Path) -> None:
    containerfile = (context / "Containerfile").read_text(encoding="utf-8")
    kept = set(re.findall(r"! -path \./([a-z]+/[a-z]+)", containerfile))
    required = {one["name"].replace(".", "/") for one in tree.load(tree.ROOT / "requirements.yml")["collections"]}
    assert required <= kept


def test_the_lab_starts_from_the_release_that_the_definition_names() -> None:
    assert execution_environment.suite() in execution_environment.PYTHONS
    recipe = execution_environment.recipe()
    assert recipe.bootstrap.suite == execution_environment.suite()
    assert recipe.tag != recipe.base
