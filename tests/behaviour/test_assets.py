# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts held against the book of assets: unknown, then known; software and programs that nobody approved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger_entries import change_of

from .conftest import Machine

PROGRAM = "/opt/kijuntest/tool"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reports go; a ledger of the test's own is beside it."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    return tmp_path / "assets"


def compared(machine: Machine, place: Path, *more: str, **variables: Any) -> list[str]:
    """The lines of the findings."""
    given = {"assets_directory": str(place), "assets_language": "en", **variables}
    done = machine.playbook("assets", "-e", json.dumps(given), *more)
    assert done.returncode == 0, done.stdout + done.stderr
    if not (place / "findings.csv").exists():
        return []
    return (place / "findings.csv").read_text(encoding="utf-8-sig").splitlines()[1:]


@pytest.mark.control("AST-01", "AST-02", "AST-03")
def test_a_host_is_held_against_the_book(machine: Machine, place: Path) -> None:
    host = machine.name
    assert compared(machine, place, "--check") == [], "check mode writes nothing"
    assert compared(machine, place) == [f"Machines that are in no ledger,,{host},"]
    asset = {
        "id": "SRV-1",
        "action": "register",
        "kind": "server",
        "host": host,
        "owner": "operations",
        "place": "the lab",
        "purpose": "tests",
        "holds": "nothing",
        "approver": "manager1",
        "ticket": "AST-1",
    }
    count = {
        "id": "SRV-1",
        "action": "count",
        "counted": "found",
        "counted_on": "2026-11-20",
        "counted_by": "operator1",
    }
    with Ledger(f"sqlite:///{place.parent / 'ledger.sqlite'}") as ledger:
        ledger.append(
            "assets", [change_of(number, entry, "id") for number, entry in enumerate((asset, count), 1)], "awx"
        )
    assert compared(machine, place, assets_count_days=1800) == []
    sheet = (place / "count.csv").read_text(encoding="utf-8-sig")
    assert f"SRV-1,in_use,server,{host}" in sheet

    software = "Software that nobody approved"
    machine.ok(f"mkdir -p {Path(PROGRAM).parent} && printf '#!/bin/sh\\n' > {PROGRAM} && chmod 755 {PROGRAM}")
    try:
        settings = {"assets_count_days": 1800, "assets_approved_programs": ["/srv/*"]}
        first = compared(machine, place, assets_approved_software=["no-such-package"], **settings)
        chosen = [line.split(",")[-1] for line in first if line.startswith(software)]
        said = compared(machine, place, assets_approved_software=[*chosen[1:], "opnssh-server"], **settings)
    finally:
        machine.ok(f"rm -r {Path(PROGRAM).parent}")
    assert [line for line in said if line.startswith(software)] == [f"{software},SRV-1,{host},{chosen[0]}"]
    assert f"Programs outside packages that nobody approved,SRV-1,{host},{PROGRAM}" in said
    assert '"Approvals that no machine has anything of: misspelt, or no longer needed",,,opnssh-server' in said


def test_wrong_settings_are_refused(machine: Machine, place: Path) -> None:
    for given, words in (
        ({"assets_portable_count_days": 365}, "portable_count_days is 365; it must be from 1 to less than"),
        ({"assets_count_days": 0}, "assets_count_days is 0; it must be a whole number from 2 to 1830 (clause SM-5-2a)"),
        ({"assets_trees": ["home"]}, "assets_trees is ['home']; it must be a list of absolute paths"),
        ({"assets_approved_software": ["vim; rm"]}, "it must be a list of packages, in whose names * stands for"),
    ):
        done = machine.playbook("assets", "-e", json.dumps({"assets_directory": str(place), **given}))
        assert done.returncode != 0
        assert words in " ".join(done.stdout.split()), done.stdout
        assert not place.exists()
