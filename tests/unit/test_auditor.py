# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of one host as it runs there: whole, on its own, within its size, and never stopped by one bad fact."""

from __future__ import annotations

import base64
import bz2
import datetime
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.action import accounts_state, control_audit
from ansible_collections.kijun.baseline.plugins.module_utils import auditor
from ansible_collections.kijun.baseline.plugins.module_utils.facts import host as host_module
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.plugin_utils import host_python
from kijun_tools import tree

HostWith = Callable[[dict[str, str]], Host]

LARGEST_PAYLOAD = 150 * 1000
"""Bytes that an audit may send to a host."""


def control(name: str, fact: str, op: str = "==", value: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "expect": [{"fact": fact, "op": op, "value": value}], **more}


@pytest.fixture
def audit(host_with: HostWith, pam_tree: Callable[..., dict[str, str]]) -> Callable[..., dict[str, Any]]:
    def run(controls: list[dict[str, Any]], **files: str) -> dict[str, Any]:
        host = host_with({**pam_tree(), **{path.replace("__", "/"): text for path, text in files.items()}})
        return auditor.audit(controls, host.root)

    return run


def verdicts(answer: dict[str, Any]) -> dict[str, str]:
    return {entry["id"]: entry["verdict"] for entry in answer["controls"]}


def test_an_audit_judges_every_control_and_says_what_the_host_is(audit: Callable[..., dict[str, Any]]) -> None:
    answer = audit(
        [
            control("A-1", "os.id", value="debian"),
            control("A-2", "faillock.deny", value=10),
            control("A-3", "pam.without_lockout", op="empty"),
            control("A-4", "faillock.deny", value=3, deviation="by choice"),
        ]
    )
    assert verdicts(answer) == {"A-1": "pass", "A-2": "fail", "A-3": "pass", "A-4": "fail"}
    assert answer["os"] == "Debian GNU/Linux 13"
    assert answer["problems"] == []
    when = datetime.datetime.strptime(answer["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    assert abs((datetime.datetime.now(datetime.UTC) - when).total_seconds()) < 60
    json.dumps(answer)


def test_malformed_lines_are_problems_and_the_audit_goes_on(audit: Callable[..., dict[str, Any]]) -> None:
    line = "@include common-auth\nauht required pam_unix.so\n"
    answer = audit(
        [control("A-1", "pam.malformed", op="empty"), control("A-2", "os.id", value="debian")], __etc__pam_d__x=line
    )
    assert verdicts(answer) == {"A-1": "pass", "A-2": "pass"}, "that is no file of PAM's"
    answer = audit(
        [control("A-1", "pam.malformed", op="empty"), control("A-2", "os.id", value="debian")],
        **{"__etc__pam.d__x": line},
    )
    assert verdicts(answer) == {"A-1": "fail", "A-2": "pass"}
    assert answer["problems"] == [
        {
            "file": "/etc/pam.d/x",
            "line": 2,
            "problem": "not a line of type, control and module: 'auht required pam_unix.so'",
        }
    ]


def test_a_fact_that_cannot_be_read_is_an_error_of_its_own_controls(audit: Callable[..., dict[str, Any]]) -> None:
    answer = audit(
        [
            control("A-1", "accounts.empty_password", op="empty"),
            control("A-2", "os.id", value="debian"),
            control("A-3", "login_defs.UMASK", op="!=", value=0),
            control("A-4", "packages.chrony", value=None),
        ]
    )
    assert verdicts(answer) == {"A-1": "error", "A-2": "pass", "A-3": "error", "A-4": "error"}
    assert "/etc/passwd" in answer["controls"][0]["checks"][0]["detail"]


@pytest.mark.parametrize("op", ["empty", "not empty", "!=", "not in", "excludes", "=="])
def test_no_operator_passes_on_an_empty_host(host_with: HostWith, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    monkeypatch.setattr(host_module, "PATH", "/nonexistent")
    facts = [
        "accounts.malformed",
        "login_defs.X",
        "packages.x",
        "sockets.udp_ports",
        "os.id",
        "units[x.service].active",
    ]
    value = [] if op == "not in" else None
    controls = [control(f"A-{n}", fact, op=op, value=value) for n, fact in enumerate([*facts, "chrony.synchronised"])]
    answer = auditor.audit(controls, host_with({}).root)
    assert set(verdicts(answer).values()) == {"error"}
    assert answer["os"] is None


def test_a_control_that_breaks_the_judge_is_an_error_of_its_own(audit: Callable[..., dict[str, Any]]) -> None:
    answer = audit(
        [control("A-1", "os.id", op="~"), control("A-2", "weather.today"), control("A-3", "os.id", op="not empty")]
    )
    assert verdicts(answer) == {"A-1": "error", "A-2": "error", "A-3": "pass"}
    assert answer["controls"][0]["checks"] == []


def test_each_fact_is_read_once(audit: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, ...]] = []
    original = auditor.read_facts

    def note(host: Host, facts: dict[str, set[str]]) -> dict[str, Any]:
        read.extend((name, *sorted(keys)) for name, keys in facts.items())
        return original(host, facts)

    monkeypatch.setattr(auditor, "read_facts", note)
    audit([control("A-1", "os.id"), control("A-2", "files[/etc/a].mode"), control("A-3", "files[/etc/b].mode")])
    assert read == [("os", "id"), ("files", "/etc/a", "/etc/b")]


def test_an_audit_writes_nothing(audit: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    controls = [control("A-1", "pam.malformed", op="empty"), control("A-2", "accounts.names", op="empty")]
    audit(controls)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    auditor.audit(controls, str(tmp_path))
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# --- what travels


def payload(controls: list[dict[str, Any]]) -> str:
    return host_python.launcher(control_audit.SHIPPED, "auditor", controls)


def launched(controls: list[dict[str, Any]], python: str = sys.executable) -> subprocess.CompletedProcess[bytes]:
    """Run the host's part as the action plugin does, with a bare Python, on this machine."""
    script = payload(controls)
    return subprocess.run([python, "-I", "-S", "-"], input=script.encode(), capture_output=True, check=False, cwd="/")


def test_the_hosts_part_runs_alone_from_memory() -> None:
    title = "quotes ' \" backslash \\ newline \n braces {x} and \u671d"
    done = launched([control("A-1", "os.kernel", op="not empty"), control("A-2", "os.id", value=title)])
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert verdicts(answer) == {"A-1": "pass", "A-2": "fail"}
    assert answer["controls"][1]["checks"][0]["expected"] == title


def test_every_reader_travels() -> None:
    packed = bz2.decompress(base64.b64decode(host_python.archive(control_audit.SHIPPED)))
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        names = set(archive.namelist())
    folder = Path(auditor.__file__).parent
    expected = {
        "__init__.py",
        "audit_rules.py",
        "auditor.py",
        "certificates.py",
        "malware/__init__.py",
        "malware/clamd.py",
        "malware_mirror/__init__.py",
        "removable_media/__init__.py",
        "removable_media/descriptor.py",
        "verdict.py",
        *(f"facts/{path.name}" for path in folder.glob("facts/*.py")),
        *(f"host_accounts/{reader}.py" for reader in accounts_state.READERS),
    }
    assert names == {f"kijun/{name}" for name in expected}


def test_what_travels_is_small() -> None:
    sent = [{name: control[name] for name in control_audit.SENT if name in control} for control in tree.controls()]
    assert len(payload(sent)) < LARGEST_PAYLOAD
