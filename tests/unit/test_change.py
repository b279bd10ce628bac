# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be said of a change, what an audit says of it, and when a host takes it back by itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.backup import change as module
from ansible_collections.kijun.baseline.plugins.module_utils.backup import folders
from ansible_collections.kijun.baseline.plugins.module_utils.backup.change import ChangeError, Changes, overdue
from ansible_collections.kijun.baseline.plugins.plugin_utils import change as about

SAID: dict[str, Any] = {
    "ticket": "CHG-1042",
    "implementer": "operator1",
    "confirmer": "operator2",
    "impact": "nobody is logged out",
    "dangers": "the web server may not start",
    "way_back": "taken back by itself",
    "seconds": 3600,
    "stable_seconds": 10,
    "smoke_tests": [],
}


def test_all_is_said() -> None:
    about.check(SAID)
    about.check({**SAID, "ticket": "T1", "smoke_tests": [{"name": "answers", "command": "true"}]}, "T[0-9]")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ticket": ""}, "kijun_change_ticket is None"),
        ({"ticket": "later"}, "must match"),
        ({"implementer": " "}, "kijun_change_implementer is not given"),
        ({"confirmer": ""}, "kijun_change_confirmer is not given"),
        ({"impact": ""}, "GL-3.2-1"),
        ({"dangers": ""}, "GL-3.2-2"),
        ({"way_back": ""}, "GL-3.2-3"),
        ({"confirmer": "operator1"}, "another person"),
        ({"confirmer": "  Operator1 "}, "another person"),
        ({"approved_revision": "a1", "revision": "b2"}, "revision a1 of the project was looked at and approved"),
        ({"approved_revision": "a1"}, "one that AWX does not tell"),
        ({"seconds": 59}, "from 60 to 86400"),
        ({"seconds": True}, "from 60 to 86400"),
        ({"stable_seconds": -1}, "from 0 to 3600"),
        ({"smoke_tests": [{"name": "x"}]}, r"kijun_change_smoke_tests[0]"),
        ({"smoke_tests": ["true"]}, r"kijun_change_smoke_tests[0]"),
        ({"smoke_tests": [{"name": "x", "command": "y", "shell": "z"}]}, "a test has name, command"),
    ],
)
def test_what_is_missing_or_wrong_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(about.SaidWrong) as error:
        about.check({**SAID, **wrong})
    assert words in str(error.value)
    assert "clause" in str(error.value) or "smoke" in str(error.value)


def evidence(**verdicts: str) -> dict[str, Any]:
    return {"controls": [{"id": name, "verdict": verdict} for name, verdict in verdicts.items()]}


def test_only_what_held_before_is_held_against_a_change() -> None:
    before = evidence(A="pass", B="fail", C="excused", D="pass", E="not_applicable")
    after = evidence(A="pass", B="fail", C="fail", D="error", E="pass", F="fail")
    assert about.worse(before, after) == ["C", "D"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (None, ["the change did not run"]),
        ({"web1": {"failed": False, "unreachable": False, "errors": []}}, []),
        ({"web1": {"failed": True, "unreachable": False, "errors": ["Task: no"]}}, ["Task: no"]),
        ({"web1": {"failed": False, "unreachable": True, "errors": []}}, ["the playbook failed on this host"]),
    ],
)
def test_how_a_run_ended_on_a_host(outcome: Any, said: list[str]) -> None:
    assert about.of_host(outcome, "web1") == said


def test_a_host_that_the_playbook_does_not_know_is_no_success() -> None:
    assert "--limit" in about.of_host({"web2": {}}, "web1")[0]


ENDED = {
    **{name: SAID[name] for name in ("ticket", "implementer", "confirmer", "impact", "dangers", "way_back")},
    "id": "CHG-1042-0123@web1",
    "change": "CHG-1042-0123",
    "kind": "change",
    "started": "2026-11-28T19:00:00Z",
    "seconds": 12.5,
    "outcome": "rolled_back",
    "before": {"system": "aaaa"},
    "after": {},
    "error": "nginx.service has failed",
    "count": 2,
    "put_back": {"replaced": ["/etc/a"], "removed": [], "attributes": ["/etc", "/etc/a"]},
}


def test_a_change_in_the_journal() -> None:
    entry = about.entry("web1", ENDED)
    assert (entry["id"], entry["kind"], entry["outcome"]) == ("CHG-1042-0123@web1", "change", "rolled_back")
    assert about.entry("web1", {**ENDED, "outcome": "nonsense"})["outcome"] == "failed"
    assert entry["details"]["before"] == {"system": "aaaa"}
    assert entry["details"]["impact"] == "nobody is logged out"
    with pytest.raises(ValueError, match="kind"):
        about.entry("web1", {**ENDED, "kind": "nonsense"})


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (ENDED, "taken back, 2 paths put back: nginx.service has failed"),
        ({**ENDED, "outcome": "ok"}, "done and stable"),
        ({**ENDED, "kind": "rollback", "outcome": "ok", "of": "CHG-1"}, "took back CHG-1, 2 paths put back"),
        ({**ENDED, "kind": "rollback", "outcome": "failed", "of": "CHG-1"}, "nginx.service has failed"),
    ],
)
def test_how_a_change_ended_in_a_line(ended: dict[str, Any], said: str) -> None:
    assert about.summary(ended) == said


class Host:
    """A host whose backups always succeed, at once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changes = Changes(folder / "change", folder / "lock")
        self.taken: list[tuple[str, tuple[str, ...]]] = []
        self.readable = True
        monkeypatch.setattr(module, "take", self.take)
        monkeypatch.setattr(module, "backup_command", lambda *_: {"ok": self.readable})
        monkeypatch.setattr(module.services, "units", dict)
        monkeypatch.setattr(module, "BACKUPS", folder / "backups.jsonl")

    def take(self, name: str, tags: list[str]) -> dict[str, str]:
        self.taken.append((name, tuple(tags)))
        return {"snapshot": f"snapshot{len(self.taken)}"}

    def begin(self, change_id: str = "one", **more: Any) -> dict[str, Any]:
        return self.changes.begin({**SAID, "id": change_id, "host": "web1", **more})


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_change_has_a_backup_before_and_one_after(host: Host) -> None:
    host.begin(classes=["database", "system"])
    assert host.taken == [
        ("system", ("before-change", "change=one")),
        ("database", ("before-change", "change=one")),
    ]
    ended = host.changes.end("one")
    assert (ended["outcome"], ended["kind"]) == ("ok", "change")
    assert ended["before"] == {"system": "snapshot1", "database": "snapshot2"}
    assert ended["after"] == {"system": "snapshot3", "database": "snapshot4"}
    assert host.changes.status() == {"open": None, "last": ended}


def test_without_a_backup_that_can_be_read_there_is_no_change(host: Host) -> None:
    host.readable = False
    with pytest.raises(ChangeError, match="cannot be read back; nothing was changed"):
        host.begin()
    assert host.changes.open() is None


def test_a_second_change_is_refused_and_told_of_the_first(host: Host) -> None:
    host.begin()
    with pytest.raises(ChangeError, match=r"change one \(CHG-1042, by operator1\) is open on this host since"):
        host.begin("two")
    with pytest.raises(ChangeError, match="change two is not open on this host; one is"):
        host.changes.end("two")


def test_one_whose_preparation_was_killed_stands_in_nobodys_way(host: Host) -> None:
    host.begin()
    path = host.changes.directory / "open.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "phase": "preparing"}), "utf-8")
    assert host.changes.watch() is None
    assert host.changes.open() is None
    host.begin("two")


@pytest.mark.parametrize("name", ["confirmer", "impact", "ticket"])
def test_the_host_too_asks_for_what_must_be_said(host: Host, name: str) -> None:
    with pytest.raises(ChangeError, match=f"does not say its {name}"):
        host.begin(**{name: ""})
    with pytest.raises(ChangeError, match="somebody else"):
        host.begin(confirmer="operator1")


@pytest.mark.parametrize(("offset", "words"), [(500, "behind"), (-500, "ahead of")])
def test_a_clock_that_is_off_is_refused(host: Host, offset: float, words: str) -> None:
    with pytest.raises(ChangeError, match=words):
        host.begin(clock=time.time() + offset)
    host.begin(clock=time.time() + 60)


def test_a_backup_from_the_future_is_refused(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text('not JSON\n{"started": "2199-01-01T00:00:00Z"}\n', "utf-8")
    with pytest.raises(ChangeError, match="one of them is wrong"):
        module.refuse_wrong_clock(None, history)


def test_time_is_over_by_the_clock_of_the_machines_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = module._uptime()
    change = {"boot": module._boot_id(), "uptime": now - 100, "started": "2000-01-01T00:00:00Z", "seconds": 200}
    assert not overdue(change)
    assert overdue({**change, "seconds": 99})
    # After a restart, what was before counts by the host's clock, and at least the time since.
    other = {**change, "boot": "another", "started": "2199-01-01T00:00:00Z"}
    monkeypatch.setattr(module, "_uptime", lambda: 150.0)
    assert not overdue(other)
    monkeypatch.setattr(module, "_uptime", lambda: 201.0)
    assert overdue(other)
    assert overdue({**other, "started": "2000-01-01T00:00:00Z"})


def test_a_change_that_is_held_must_be_asked_for_soon(host: Host) -> None:
    host.begin()
    host.changes.hold("one", 100)
    change = host.changes.open()
    assert change is not None
    assert not overdue(change)
    change["hold"]["uptime"] -= 101
    assert overdue(change)
    assert host.changes.check("one") == {"unwell": []}
    assert "hold" not in (host.changes.open() or {})


def test_commands_that_must_succeed() -> None:
    tests = [
        {"name": "well", "command": "true"},
        {"name": "ill", "command": "echo because >&2; exit 3"},
        {"name": "slow", "command": "sleep 5", "seconds": 1},
    ]
    assert module.smoke(tests) == ["ill: exit status 3: because", "slow: not done within 1 s"]


def test_a_line_of_the_history_that_was_cut_short_spoils_nothing(host: Host) -> None:
    host.begin()
    host.changes.end("one")
    with (host.changes.directory / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "half')
    host.begin("two")
    host.changes.end("two")
    assert [entry["change"] for entry in host.changes.history()] == ["one", "two"]
    assert {entry["id"] for entry in host.changes.history()} == {"one@web1", "two@web1"}


def test_only_a_change_that_ended_well_is_undone(host: Host) -> None:
    with pytest.raises(ChangeError, match="is no change that was ended on this host; there are none"):
        host.changes.undo("one", {**SAID, "id": "back"})


def test_folders_that_a_package_took_away_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "STATE", (str(tmp_path),))
    monkeypatch.setattr(folders, "DEPTH", str(tmp_path).count("/") + 1)
    (tmp_path / "nginx/body").mkdir(parents=True)
    (tmp_path / "nginx").chmod(0o750)
    (tmp_path / "nginx/body/deep/deeper").mkdir(parents=True)
    known = folders.folders()
    assert str(tmp_path / "nginx/body") in known
    assert str(tmp_path / "nginx/body/deep/deeper") not in known
    for path in ("nginx/body/deep/deeper", "nginx/body/deep", "nginx/body", "nginx"):
        (tmp_path / path).rmdir()
    assert folders.make_folders(known) == [str(tmp_path / "nginx"), str(tmp_path / "nginx/body")]
    assert (tmp_path / "nginx").stat().st_mode & 0o777 == 0o750
    assert folders.make_folders(known) == []
