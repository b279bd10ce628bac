# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts of the lab, real logins, real audits."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kijun_hosts import GOOD, ROOT, Machine, make_person, remove_person, together

# molecule asks for colours, whose signs stand in the way of whoever reads what a playbook says.
os.environ.pop("ANSIBLE_FORCE_COLOR", None)

__all__ = ["GOOD", "ROOT", "Machine", "together"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab-hosts", default="server12,server13", help="hosts of the lab to test, with commas between")
    parser.addoption("--turns", action="store_true", help="each test on one of those hosts only, by turns")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that wants a machine on every host, or on one."""
    if "machine" in metafunc.fixturenames:
        names = metafunc.config.getoption("--lab-hosts").split(",")
        if metafunc.config.getoption("--turns"):
            # By its name, so that a test keeps its host when others come and go.
            names = [names[zlib.crc32(metafunc.definition.nodeid.encode()) % len(names)]]
        metafunc.parametrize("machine", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Machine:
    subprocess.run(["lab/lab", "up", request.param], cwd=ROOT, check=True, capture_output=True, timeout=300)
    return Machine(request.param)


@pytest.fixture
def verdicts(
    request: pytest.FixtureRequest, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Audit the host, and return each control's verdict.

    Of the controls that the module names as AUDITED, or else of all; a third less to do than the whole is.
    """
    audited = getattr(request.module, "AUDITED", "")

    def audit(*arguments: str) -> dict[str, str]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path))
        tags = ("--tags", audited) if audited and "--tags" not in arguments else ()
        done = machine.playbook("audit", *tags, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((tmp_path / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control["verdict"] for control in record["controls"]}

    return audit


@pytest.fixture
def person(machine: Machine) -> Iterator[str]:
    """A person with a good password, a key, and the right to sudo; gone afterwards."""
    name = "worker"
    make_person(machine, name)
    yield name
    remove_person(machine, name)
