# SPDX-License-Identifier: GPL-3.0-or-later
"""Small parts of log forwarding and log servers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.kijun.baseline.plugins.filter.log_server import sender_addresses
from ansible_collections.kijun.baseline.plugins.module_utils.facts import logs
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host


def test_an_address_follows_from_the_name_alone() -> None:
    few, many = sender_addresses(["web1", "web2"]), sender_addresses([f"web{n}" for n in range(50)])
    assert few["web1"] == many["web1"]
    assert len(set(many.values())) == 50
    assert all(address.startswith("127.") and not address.endswith((".0", ".255")) for address in many.values())
    assert not any(address.startswith("127.0.") for address in many.values())


def test_two_names_of_one_address_are_told() -> None:
    taken = sender_addresses(["web1"])["web1"]
    with pytest.raises(
        AnsibleFilterError, match=rf"web1 and web2 come to the same address, {taken}; .*sender_addresses"
    ):
        sender_addresses(["web1", "web2"], {"web2": taken})
    assert sender_addresses(["web1", "web2"], {"web2": "127.1.2.3"})["web2"] == "127.1.2.3"


CONFIGURATION = """
module(load="imjournal" stateFile="imjournal.state")
ruleset(name="forward") {
  set $.x = "(";
  action(
    type="omrelp" name="to-log1" target="192.0.2.1" tls="on" tls.authMode="name" tls.permittedPeer=["log1"]
    queue.type="Disk"
  )
  action(type="omrelp" target="192.0.2.2" port="6514")
  # action(type="omrelp" target="192.0.2.3" tls="on")
  action(type="omfile" file="/var/log/all")
}
input(type="imfile" file="/var/log/b.log" tag="b")
input(type="imfile" file="/var/spool/rsyslog/sessions/*.records" tag="session")
"""


def host(tmp_path: Path, files: dict[str, str]) -> Host:
    for path, text in files.items():
        (tmp_path / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.lstrip("/")).write_text(text, encoding="utf-8")
    return Host(str(tmp_path))


def test_where_records_go(tmp_path: Path) -> None:
    found = logs.log_forwarding(
        host(tmp_path, {logs.CONFIGURATION: CONFIGURATION, f"{logs.SPOOL}/to-log1.00000001": "x" * 3000000}), []
    )
    assert found == {
        "targets": ["192.0.2.2", "log1"],
        "unprotected": ["192.0.2.2"],
        "journal": True,
        "files": ["/var/log/b.log"],
        "sessions": True,
        "waiting_mb": 3,
    }


def test_what_waits_of_recorded_sessions(tmp_path: Path) -> None:
    assert logs.recorded_sessions(host(tmp_path, {}), []) == {
        "looked_minutes": None,
        "waiting": None,
        "waiting_minutes": None,
        "problem": None,
    }
    now = time.time()
    status = {"time": now - 120, "waiting": 2, "oldest": now - 7200, "problem": "rsyslog does not run"}
    assert logs.recorded_sessions(host(tmp_path, {logs.SHIPPED: json.dumps(status)}), []) == {
        "looked_minutes": 2,
        "waiting": 2,
        "waiting_minutes": 120,
        "problem": "rsyslog does not run",
    }
    status |= {"waiting": 0, "oldest": None}
    found = logs.recorded_sessions(host(tmp_path, {logs.SHIPPED: json.dumps(status)}), [])
    assert found["waiting_minutes"] == 0


def test_a_host_that_sends_nothing(tmp_path: Path) -> None:
    assert logs.log_forwarding(host(tmp_path, {}), [])["targets"] == []
    assert logs.log_store(host(tmp_path, {}), [])["age_hours"] is None


def test_a_commented_journal_is_none(tmp_path: Path) -> None:
    text = CONFIGURATION.replace("module(load", "#module(load")
    assert logs.log_forwarding(host(tmp_path, {logs.CONFIGURATION: text}), [])["journal"] is False


def test_who_reads_and_what_the_keeper_found(tmp_path: Path) -> None:
    found = logs.log_store(
        host(
            tmp_path,
            {
                logs.STATUS: '{"time": 0, "used_percent": 71, "lacking": true, "unsigned": ["2026-11-21"]}',
                logs.SETTINGS: '{"days": 366}',
                "/etc/group": "kijun-logs:x:999:bob,alice\nadm:x:4:\n",
            },
        ),
        [],
    )
    assert (found["used_percent"], found["lacking"], found["unsigned"]) == (71, True, ["2026-11-21"])
    assert (found["days"], found["readers"]) == (366, ["alice", "bob"])
    assert found["age_hours"] > 400000
