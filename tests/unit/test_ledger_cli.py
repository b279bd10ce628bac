# SPDX-License-Identifier: GPL-3.0-or-later
"""The auditor's command, as a process of its own in which Ansible cannot be imported."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import (
    checkpoints,
    cli,
    export_check,
    migrate,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books import BOOKS
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.event import GENESIS, canonical_json, chain_hash
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.interchange.export import write_events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kijun_tools import tree

COMMAND = str(tree.ROOT / "tools" / "kijun-ledger")
BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ansible" or name.startswith("ansible."):
            raise ImportError("there is no Ansible here")
sys.meta_path.insert(0, Blocker())
"""
FIELDS: dict[str, Any] = {"department": "総務部", "hosts": ["web01"], "justification": "work"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger with six events."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    migrate.upgrade("sqlite:///%s" % path)
    with Ledger("sqlite:///%s" % path) as found:
        for number in range(5):
            fields = {**FIELDS, "person": "Sample Person %d" % number}
            change = Change("user%d" % number, "adopt", fields, approver="Sample Manager", ticket="T-%d" % number)
            found.append("accounts", [change], "ops")
        found.append("accounts", [Change("user1", "suspend", {"status_reason": "absent"})], "ops")
    return path


@pytest.fixture
def ledger(filled: Path, tmp_path: Path) -> Iterator[Ledger]:
    shutil.copy(filled, tmp_path)
    with Ledger("sqlite:///%s" % (tmp_path / filled.name)) as found:
        yield found


@pytest.fixture
def export(ledger: Ledger, tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    write_events(str(path), BOOKS["accounts"], ledger.events("accounts"), "jsonl")
    return path


def run(*arguments: object, url: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command where Ansible cannot be imported: sitecustomize forbids it."""
    folder = Path(os.environ["KIJUN_TEST_SITE"])
    known = {name: value for name, value in os.environ.items() if name != "KIJUN_LEDGER_URL"}
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={
            **known,
            "KIJUN_PYTHON": str(folder / "python"),
            **({"KIJUN_LEDGER_URL": url} if url else {}),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def without_ansible(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that runs the module named after -m behind the blocker."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "blocked.py").write_text(
        BLOCKER + "import runpy\nmodule = sys.argv[2]\nsys.argv = sys.argv[2:]\n"
        "try:\n    import ansible\nexcept ImportError:\n    pass\nelse:\n    sys.exit(99)\n"
        "runpy.run_module(module, run_name='__main__', alter_sys=True)\n"
    )
    (folder / "python").write_text('#!/bin/sh\nexec %s %s "$@"\n' % (sys.executable, folder / "blocked.py"))
    (folder / "python").chmod(0o755)
    monkeypatch.setenv("KIJUN_TEST_SITE", str(folder))


def checkpoint_file(ledger: Ledger, path: Path) -> Path:
    checkpoints.emit(ledger.checkpoint("accounts"), str(path), False)
    return path


def test_a_whole_ledger_holds(ledger: Ledger, tmp_path: Path) -> None:
    done = run("verify", url=ledger.url)
    assert (done.returncode, done.stderr) == (0, "")
    head = ledger.checkpoint("accounts").head
    assert done.stdout == "accounts: 6 events hold, head %s, no checkpoints to compare with\n" % head
    kept = checkpoint_file(ledger, tmp_path / "checkpoints")
    done = run("verify", "--url", ledger.url, "--checkpoints", kept, "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["ok"] and answer["count"] == 6 and answer["checkpoints"] == 1 and answer["head"] == head


def test_the_installed_command_holds_a_ledger_too(ledger: Ledger) -> None:
    done = subprocess.run(
        [COMMAND, "verify", "--url", ledger.url], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_export_holds_without_the_database(ledger: Ledger, export: Path, tmp_path: Path) -> None:
    kept = checkpoint_file(ledger, tmp_path / "checkpoints")
    (tmp_path / "ledger.sqlite").unlink()
    done = run("verify", "--file", export, "--checkpoints", kept)
    assert (done.returncode, done.stderr) == (0, "")
    assert "accounts: 6 events hold" in done.stdout
    assert stat.S_IMODE(export.stat().st_mode) == 0o600


def tampered(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        names = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            connection.execute(sa.text('DROP TRIGGER "%s"' % name))
        connection.execute(sa.text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "place", "reason"),
    [
        (
            "UPDATE events SET record = replace(record, 'Person 2', 'Person 9') WHERE sequence = 3",
            "event 3",
            "its hash",
        ),
        ("DELETE FROM events WHERE sequence = 2", "event 2", "it is missing"),
        ("DELETE FROM events WHERE sequence = 6", "event 6", "had 6 events"),
    ],
)
def test_a_broken_ledger_is_told_with_its_first_bad_event(
    ledger: Ledger, statement: str, place: str, reason: str
) -> None:
    tampered(ledger.url, statement)
    done = run("verify", url=ledger.url)
    assert done.returncode == 1
    assert "BROKEN at %s: " % place in done.stdout and reason in done.stdout
    answer = run("verify", "--json", url=ledger.url)
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["ok"] is False


def test_entries_that_the_events_did_not_make_are_told(ledger: Ledger) -> None:
    statement = "UPDATE states SET fields = replace(fields, 'active', 'removed') WHERE key = 'user0'"
    tampered(ledger.url, statement)
    done = run("verify", url=ledger.url)
    assert done.returncode == 1
    assert "the stored entries are not what the events made: user0: " in done.stdout


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path


def test_a_file_written_anew_or_cut_off_is_found_by_checkpoints(ledger: Ledger, export: Path, tmp_path: Path) -> None:
    kept = checkpoint_file(ledger, tmp_path / "checkpoints")
    entries = lines(export)
    cut = write(tmp_path / "cut.jsonl", entries[:4])
    assert run("verify", "--file", cut).returncode == 0
    done = run("verify", "--file", cut, "--checkpoints", kept)
    assert done.returncode == 1 and "BROKEN at event 5" in done.stdout
    previous = GENESIS
    for entry in entries:
        entry["record"]["actor"] = "somebody else"
        previous = chain_hash(previous, canonical_json(entry["record"]).encode())
        entry["hash"] = previous.hex()
    anew = write(tmp_path / "anew.jsonl", entries)
    assert run("verify", "--file", anew).returncode == 0
    done = run("verify", "--file", anew, "--checkpoints", kept)
    assert done.returncode == 1 and "BROKEN at event 6: the checkpoint of" in done.stdout


MUTATIONS = ("edit", "delete", "insert", "swap", "hash", "garbage", "twice", "type")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(MUTATIONS), place=st.integers(0, 4))
def test_every_change_of_a_file_is_found_at_its_place(export: Path, tmp_path: Path, kind: str, place: int) -> None:
    entries = lines(export)
    texts = [json.dumps(entry) for entry in entries]
    if kind == "edit":
        entries[place]["record"]["approver"] += "x"
        texts[place] = json.dumps(entries[place])
    elif kind == "delete":
        del texts[place]
    elif kind == "insert":
        texts.insert(place, texts[5])
    elif kind == "swap":
        texts[place], texts[place + 1] = texts[place + 1], texts[place]
    elif kind == "hash":
        texts[place] = texts[place].replace(entries[place]["hash"], "00" * 32)
    elif kind == "garbage":
        texts[place] = texts[place][:-9]
    elif kind == "twice":
        texts[place] = texts[place].replace('"actor": "ops"', '"actor": "eve", "actor": "ops"')
    else:
        texts[place] = texts[place].replace('"sequence": %d' % (place + 1), '"sequence": "%d"' % (place + 1))
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(texts), encoding="utf-8")
    found = export_check.verify_export(str(changed), "accounts")
    assert (found.broken_at, found.count) == (place + 1, place)
    assert found.reason


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "--url", "nonsense"],
        ["verify", "--url", "sqlite:////nowhere/ledger.sqlite"],
        ["verify", "--url", "mysql://x/y"],
        ["verify", "--file", "/nowhere/events.jsonl"],
        ["verify", "--file", __file__, "--book", "nothing"],
        ["verify", "--file", "{export}", "--book", "reconciliations"],
        ["verify", "--file", "{export}", "--checkpoints", "/nowhere"],
        ["verify", "--file", "{export}", "--checkpoints", "{export}"],
        ["show", "--url", "{url}"],
        ["show", "--url", "{url}", "nobody"],
        ["show", "--url", "{url}", "--where", "nonsense=1"],
        ["show", "--url", "{url}", "--where", "mfa=perhaps"],
        ["export", "--url", "{url}"],
        ["export", "--url", "{url}", "--output", "/nowhere/a.csv"],
        ["export", "--url", "{url}", "--output", "a.doc"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_told_apart_from_a_broken_ledger(ledger: Ledger, export: Path, arguments: list[str]) -> None:
    done = run(*(argument.format(export=export, url=ledger.url) for argument in arguments))
    assert done.returncode == 2, done.stdout
    assert done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_password_in_an_address_is_never_printed() -> None:
    url = "postgresql+psycopg://auditor:Secret-9@127.0.0.1:1/kijun?connect_timeout=1"
    done = run("verify", url=url)
    assert done.returncode == 2
    assert "Secret-9" not in done.stdout + done.stderr and "127.0.0.1" in done.stderr


def test_an_entry_is_shown_with_its_history(ledger: Ledger) -> None:
    done = run("show", "user1", "--language", "ja", url=ledger.url)
    assert done.returncode == 0
    assert "利用者: Sample Person 1\n" in done.stdout
    assert "状態: suspended\n" in done.stdout
    assert "  suspend  by ops\n" in done.stdout and "  adopt  by ops  approved by Sample Manager  T-1\n" in done.stdout
    assert "    status_reason: absent\n" in done.stdout
    answer = json.loads(run("show", "user1", "--json", url=ledger.url).stdout)
    assert [event["action"] for event in answer["history"]] == ["adopt", "suspend"]
    assert answer["fields"]["status"] == "suspended"


def test_a_ledger_cannot_steer_the_auditors_terminal() -> None:
    assert cli._visible("a\x1b[2J\r\u202eb") == "a\\x1b[2J\\r\\u202eb"


def test_entries_are_chosen_by_their_values(ledger: Ledger) -> None:
    def keys(*conditions: str) -> list[str]:
        options = [part for condition in conditions for part in ("--where", condition)]
        done = run("show", *options, "--json", url=ledger.url)
        assert done.returncode == 0, done.stderr
        return [entry["key"] for entry in json.loads(done.stdout)]

    assert keys("status=suspended") == ["user1"]
    assert keys("status=suspended", "status=active") == ["user%d" % number for number in range(5)]
    assert keys("hosts=web01", "person=Sample Person 3") == ["user3"]
    assert keys("hosts=web02") == keys("mfa=yes") == []
    assert len(keys("mfa=no")) == 5
    assert run("show", "--where", "status=suspended", url=ledger.url).stdout.startswith("user1\t")


@pytest.mark.parametrize("form", ["csv", "xlsx", "yaml", "json", "jsonl"])
def test_every_format_is_exported_from_database_and_file(
    ledger: Ledger, export: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "out"
    done = run("export", "--format", form, "--output", path, "--language", "ja", url=ledger.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "%s: %s\n" % (path, "6 events" if form == "jsonl" else "5 entries")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if form == "xlsx":
        path.rename(tmp_path / "out.xlsx")
        assert openpyxl.load_workbook(tmp_path / "out.xlsx").active["A1"].value == "ログイン名"
    done = run("export", "--file", export, "--format", form, "--output", path)
    assert (done.returncode, done.stdout) == (0, "%s: 6 events\n" % path)
    if form == "jsonl":
        assert path.read_bytes() == export.read_bytes()


def test_nothing_of_ansible_is_loaded() -> None:
    package = "ansible_collections.kijun.baseline.plugins.plugin_utils.ledger"
    program = "import sys, %s.cli; print(sorted(n for n in sys.modules if n.split('.')[0] == 'ansible'))" % package
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tree.ROOT / "collections")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
