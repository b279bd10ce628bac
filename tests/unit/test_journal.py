# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations journal without a run: secrets, trails, the light way into the ledger, entries, months."""

from __future__ import annotations

import datetime
import gzip
import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal import collected, reading, report, run_entry
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.entries import asked, plain
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.reading import between
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.redact import HIDDEN, redacted
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.trail import Trail
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import light, migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change, State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, Verification
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Refused, Unreachable
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import complaints
from hypothesis import given, settings
from hypothesis import strategies as st
from kijun_tools import tree

NOW = datetime.datetime(2026, 11, 28, 12, 0, tzinfo=datetime.UTC)
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    return url


# --- secrets


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password = hunter2", "hunter2"),
        ("+db_password: 'hunter 2'", "hunter 2"),
        ('{"api_key": "k-1234"}', "k-1234"),
        ('{"client_secret":"a\\"b"}', 'a\\"b'),
        ("requirepass hunter2", "hunter2"),
        ("mysql --password=hunter2 -u app", "hunter2"),
        ("curl --token hunter2", "hunter2"),
        ("postgresql://app:hunter2@db1/shop", "hunter2"),
        ("root:$y$j9T$abc$defghi:19000:0:99999:7:::", "$y$j9T$abc$defghi"),
        ("hash $6$rounds=5000$salt$digest", "salt$digest"),
        ("SCRAM-SHA-256$4096:salt$stored:server", "stored:server"),
        ("Authorization: Bearer abcdefghijk", "abcdefghijk"),
        ("header 'authorization': 'Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
        ("AGE-SECRET-KEY-1QQQQQQQQQQQQ", "QQQQ"),
        (KEY, "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
        ("\n".join("+" + line for line in KEY.splitlines()), "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
        (KEY.rsplit("\n", 1)[0], "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
        (" " + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2", "QUJDREVGR0hJ"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162636465666768696a6b6c6d6e6f70\n", "6162636465666768"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("+password: |\n+  hunter2\n+  hunter3", "hunter3"),
        ("db_root_password = hunter2", "hunter2"),
        ("export PGPASSWORD=hunter2", "hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redacted(text)
    assert HIDDEN in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "level=1",
        "  snapshot 9f2c1e7a9f2c1e7a9f2c1e7a9f2c1e7a9f2c1e7a9f2c1e7a9f2c1e7a9f2c1e7a",
        "https://example.com/a:b@c",
        "changed /etc/passwd and /etc/pam.d/common-password",
        "日本語の説明",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@settings(max_examples=200, deadline=None)
@given(st.text(), st.text(alphabet="abcdefgh0123456789", min_size=6), st.text())
def test_a_password_is_hidden_whatever_stands_around_it(before: str, secret: str, after: str) -> None:
    text = redacted("%s\npassword=%s\n%s" % (before.replace(secret, ""), secret, after.replace(secret, "")))
    assert secret not in text


@pytest.mark.parametrize(
    "piece",
    (
        *(
            "a",
            "a.",
            "a-",
            "password",
            "password ",
            "eyJaaaaaaaa-",
            "\n",
            " ",
            "a://",
            "a://b:",
            "$6$",
            "pass",
            "bearer ",
        ),
        *(
            "-----BEGIN PRIVATE KEY-----",
            "$ANSIBLE_VAULT;\n",
            "+ ",
            "password: |\n ",
            "authorization:",
            "password:'",
            "0",
        ),
    ),
)
def test_a_host_cannot_choose_a_text_that_takes_long(piece: str) -> None:
    text = piece * (262_144 // len(piece))
    started = time.process_time()
    redacted(text)
    assert time.process_time() - started < 4


def test_details_are_hidden_by_their_names() -> None:
    assert plain({"password": "hunter2", "n": 1.5, "whole": 2.0, "list": [True, None, "token=abc"], 5: "x"}) == {
        "password": HIDDEN,
        "n": "1.500",
        "whole": 2,
        "list": [True, None, "token=" + HIDDEN],
        "5": "x",
    }


# --- trails


def test_a_trail_stops_at_its_size_and_says_so() -> None:
    trail = Trail(20_000)
    noise = random.Random(1)
    for number in range(100):
        text = "".join(noise.choice("abcdefghijklmnopqrstuvwxyz .,;") for _ in range(1000))
        trail.add("2026-11-28T12:00:00Z", "web%d" % number, "Step", "changed", {"stdout": text})
    content = trail.ended()
    assert len(content) <= 20_000 + 200
    assert not trail.complete
    text = gzip.decompress(content).decode()
    assert text.startswith("2026-11-28T12:00:00Z changed web0: Step\n  stdout: ")
    assert text.endswith("... the trail reached the size that it may have\n")


def test_a_trail_has_differences_however_modules_return_them() -> None:
    trail = Trail()
    diffs = [{"before": "a\npassword=x1y2z3\n", "after": "b\npassword=x9y9z9\n"}, {"prepared": "+c\n"}]
    trail.add("T", "web", "Files", "changed", {"diff": [*diffs, {"before": {"k": 1}, "after": {"k": 2}}, None, "x"]})
    text = gzip.decompress(trail.ended()).decode()
    for line in ("  -a", "  +b", "  +c", '  - "k": 1', '  + "k": 2'):
        assert f"{line}\n" in text
    assert "x1y2z3" not in text
    assert "x9y9z9" not in text


def test_a_difference_too_large_to_be_worked_out_is_said_to_be() -> None:
    trail = Trail()
    trail.add("T", "web", "Files", "changed", {"diff": {"before": "a\n" * 200_000, "after": ""}})
    assert "(a difference of 400000 and 0 characters)" in gzip.decompress(trail.ended()).decode()


# --- the light way into the ledger


def opened(**variables: Any) -> dict[str, Any]:
    run = {"at": "2026-11-28T11:00:00Z", "playbook": "site.yml", "hosts": ["web2", "web1"], "emergency": ""}
    run |= {"versions": {"kijun": "0.5.0"}, "git": {"head": "ab", "branch": "main", "dirty": False}}
    return run_entry.opened(
        {"inventory": ["inventories/production"], "tags": ["all"], "subset": "web*", "check": False},
        {"kijun_actor": "suzuki", "kijun_change_ticket": "CHG-7", **variables},
        {**run, "controller": {"name": "ctl", "process": 5}},
    )


def finished(opening: dict[str, Any]) -> dict[str, Any]:
    outcomes = run_entry.Outcomes()
    outcomes.environments.add("production")
    outcomes.change("web1", "Write", ["/etc/a", "/etc/b"])
    outcomes.failure("web2", "Start", "did not stay up")
    counts = {"ok": {"web1": 2, "web2": 1}, "changed": {"web1": 1}, "failures": {"web2": 1}, "dark": {}, "skipped": {}}
    return outcomes.closed(opening, counts, until="2026-11-28T11:05:00Z", seconds=300)


def test_what_is_written_lightly_is_what_the_engine_writes(url: str, tmp_path: Path) -> None:
    opening = opened()
    closing = finished(opening)
    first = light.Entry("operations", "run-1", "open", "", {"id": "run-1", **opening}, ticket="CHG-7")
    last = light.Entry("operations", "run-1", "close", "open", closing, ticket="CHG-7")
    marks = [light.append(url, [first], "suzuki")[0], light.append(url, [last], "suzuki")[0]]
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    migrate.upgrade(other)
    with Ledger(other) as ledger, Ledger(url) as mine:
        at = {event.action: event.at for event in mine.events("operations")}
        for action, fields in (("open", opening), ("close", closing)):
            payload = {name: value for name, value in fields.items() if name != "status"}
            allowed = payload.keys() & ledger.books["operations"].actions[action].fields
            payload = {name: payload[name] for name in allowed}
            moment = datetime.datetime.fromisoformat(at[action].replace("Z", "+00:00"))
            ledger.append("operations", [Change("run-1", action, payload, ticket="CHG-7")], "suzuki", at=moment)
        assert [e.record() for e in mine.events("operations")] == [e.record() for e in ledger.events("operations")]
        assert mine.states("operations") == ledger.states("operations")
        assert mine.verify("operations").head == ledger.verify("operations").head == marks[1].head
        assert not mine.compare("operations")
        assert (marks[0].count, marks[1].count) == (1, 2)


def test_an_address_with_parameters_is_written_to_by_the_engine(url: str) -> None:
    opening = opened()
    entries = [light.Entry("operations", "r", "open", "", {"id": "r", **opening}, ticket="CHG-7")]
    entries += [light.Entry("operations", "r", "close", "open", finished(opening), ticket="CHG-7")]
    marks = light.append(url + "?timeout=5", entries, "suzuki")
    with Ledger(url) as ledger:
        assert [mark.count for mark in marks] == [1, 2]
        assert ledger.verify("operations").head == marks[1].head


def test_entries_of_two_books_are_written_together_or_not_at_all(url: str) -> None:
    good = light.Entry(
        "work_trails", "run-1", "keep", "", {"id": "run-1", "status": "kept", "sha256": "", "content": ""}
    )
    bad = light.Entry("operations", "run-1", "close", "open", {"status": "finished"})
    with pytest.raises(Refused, match="close is for an entry that is open"):
        light.append(url, [good, bad], "suzuki")
    with Ledger(url) as ledger:
        assert ledger.count("work_trails") == 0


@pytest.mark.parametrize("wrong", [1.5, "half \ud800"])
def test_what_a_ledger_cannot_hold_is_not_written_lightly_either(url: str, wrong: Any) -> None:
    with pytest.raises(LedgerError, match="cannot stand in a ledger"):
        light.append(url, [light.Entry("operations", "x", "record", "", {"status": "recorded", "x": wrong})], "a")


def test_a_head_that_is_not_its_books_is_noticed(url: str) -> None:
    light.append(url, [light.Entry("operations", "x", "record", "", {"status": "recorded"})], "a")
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE heads SET count = 0")
    with pytest.raises(LedgerError, match="refused what its own head asked for"):
        light.append(url, [light.Entry("operations", "y", "record", "", {"status": "recorded"})], "a")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql+psycopg://kijun:pw@db/x?sslmode=require&password=pw", "postgresql+psycopg://kijun@db/x"),
        ("postgresql+psycopg://db/x", "postgresql+psycopg://db/x"),
        ("sqlite:////a/b", "sqlite:////a/b"),
        ("pw", "(an address that is not of the form dialect://...)"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert light.shown(address) == shown


def test_a_wrong_postgresql_address_says_nothing_of_itself() -> None:
    with pytest.raises(Unreachable) as raised:
        light.append("postgresql+psycopg://kijun:geheim@db:port/x", [], "a")
    assert "geheim" not in str(raised.value)


# --- a run's entry


def test_runs_that_fail_everywhere_name_only_so_many() -> None:
    outcomes = run_entry.Outcomes()
    for number in range(run_entry.MOST_FAILURES + 10):
        outcomes.failure("web%d" % number, "Task", "no")
    for number in range(run_entry.MOST_TASKS + 5):
        outcomes.change("web1", "Task %d" % number, [])
    closed = outcomes.closed(opened(), {}, until="2026-11-28T11:05:00Z", seconds=1)
    assert len(closed["run"]["failures"]) == run_entry.MOST_FAILURES
    assert len(closed["run"]["changes"]) == run_entry.MOST_TASKS
    assert closed["run"]["left_out"] == 15


def test_a_run_that_is_closed_twice_or_not_opened_is_refused(url: str) -> None:
    opening = opened()
    light.append(url, [light.Entry("operations", "r", "open", "", {"id": "r", **opening})], "a")
    close = light.Entry("operations", "r", "close", "open", finished(opening))
    light.append(url, [close], "a")
    with pytest.raises(Refused):
        light.append(url, [close], "a")


@pytest.mark.parametrize(
    ("given", "taken"), [(None, ""), ("a\n b\t c", "a b c"), ("\x1b[2Jx", "\\u001b[2Jx"), (5, "5")]
)
def test_texts_are_one_visible_line(given: Any, taken: str) -> None:
    assert run_entry.line(given) == taken


# --- entries of tasks


def entry(**fields: Any) -> dict[str, Any]:
    return {"id": "n1", "kind": "note", "at": "2026-11-28T10:00:00+09:00", **fields}


def test_an_entry_is_made_whole() -> None:
    (change,) = asked([entry(host="web1", seconds=1.6, summary="a\nb")], {}, NOW).changes
    assert (change.key, change.action) == ("n1", "record")
    assert (change.payload["at"], change.payload["hosts"], change.payload["seconds"], change.payload["summary"]) == (
        "2026-11-28T01:00:00Z",
        ["web1"],
        2,
        "a b",
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": ""}, "id '': an entry has a stable name"),
        ({"kind": "party"}, "kind 'party': known are run, change,"),
        ({"action": "delete"}, "action 'delete': known are record, confirm, correct, consider"),
        ({"colour": "red"}, "colour 'red': an entry with the action record has id, action, kind,"),
        ({"at": "yesterday"}, "at 'yesterday': must be a time such as"),
        ({"at": "2026-11-28T10:00:00"}, "must say its offset from UTC"),
        ({"seconds": "long"}, "seconds 'long': must be a number"),
        ({"details": "x"}, "details 'x': must be a dictionary"),
        ({"host": "a", "hosts": ["b"]}, "host 'a': is given, and hosts too"),
        ({"implementer": "Suzuki", "confirmer": "suzuki"}, "nobody confirms what they do themselves (clause GL-3.2-4)"),
        ({"kind": "inspection", "outcome": "accepted"}, "an inspection names who inspected (clause SM-4.11-3)"),
        ({"kind": "inspection", "actor": "kato", "outcome": "fine"}, "must be accepted or corrections_ordered"),
        ({"kind": "inspection", "actor": "x", "outcome": "accepted"}, "is none of operations_journal_committee: kato"),
        ({"kind": "correction", "summary": "x"}, "a correction names the entries that it corrects"),
        ({"kind": "correction", "about": ["x"]}, "a correction says what was done"),
    ],
)
def test_wrong_entries_are_refused_and_say_why(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as raised:
        asked([entry(**wrong)], {}, NOW, ["kato"])
    assert message in str(raised.value)
    assert "clause" in str(raised.value)


def put(ledger: Ledger, *entries: dict[str, Any]) -> list[Any]:
    known = {state.key: state for state in ledger.find("operations", [str(one["id"]) for one in entries])}
    return ledger.append("operations", asked(entries, known, NOW).changes, "sato")


def test_errors_get_their_corrective_action(url: str) -> None:
    error = entry(id="e1", kind="error", host="web1", summary="app.service failed")
    with Ledger(url) as ledger:
        put(ledger, error, {**error, "id": "e2"}, {**error, "id": "e3"})
        fix = entry(id="c1", kind="correction", about=["e1"], summary="more memory", actor="suzuki")
        assert [event.action for event in put(ledger, fix)] == ["record", "correct"]
        assert not put(ledger, fix), "the same again"
        put(ledger, {"id": "e2", "action": "correct", "resolution": "known, harmless"})
        with pytest.raises(Refused, match="correct is for an entry that is in the ledger"):
            put(ledger, {"id": "nothing", "action": "correct", "resolution": "x"})
        entries = [state.fields for state in between(ledger, "2026-11-01T00:00:00Z", "2026-11-30T23:59:59Z")]
        with pytest.raises(Refused, match="resolution '': correct needs it"):
            put(ledger, {"id": "e3", "action": "correct"})
    month = report.sort_out(entries, "2026-11", NOW.date())
    assert [one["id"] for one in month.lists["errors_open"]] == ["e3"]
    done = {one["id"]: (one["resolution"], one["resolved_by"]) for one in month.lists["errors_done"]}
    assert done == {"e1": ("more memory", "suzuki"), "e2": ("known, harmless", "sato")}


def test_people_confirm_restores_and_consider_releases(url: str) -> None:
    test = entry(id="r1", kind="restore_test", host="db1", outcome="ok", details={"equal": True, "rto_seconds": 12.5})
    with Ledger(url) as ledger:
        put(ledger, test, {**test, "id": "r2"}, entry(id="k1", kind="change", host="db1", outcome="ok"))
        put(ledger, {"id": "r1", "action": "confirm", "resolution": "seen, files equal", "resolved_by": "mori"})
        put(ledger, {"id": "k1", "action": "consider", "resolution": "could be done with one restart less"})
        for wrong in ({"id": "k1", "action": "confirm"}, {"id": "r2", "action": "consider"}):
            with pytest.raises(Refused, match="is for"):
                put(ledger, {**wrong, "resolution": "x"})
        month = report.sort_out(
            [state.fields for state in ledger.states("operations")], "2026-11", NOW.date(), ["db1", "db2"]
        )
    assert [one["id"] for one in month.lists["restores_open"]] == ["r2"]
    assert not month.lists["unconsidered"]
    assert len(month.backups_missing["db1"]) == len(month.backups_missing["db2"]) == 27
    assert "2026-11-28" not in month.backups_missing["db1"], "the day is not over"


def test_the_same_id_twice_is_one_entry(url: str) -> None:
    with Ledger(url) as ledger:
        put(ledger, entry(outcome="ok"))
        known = {state.key: state for state in ledger.states("operations")}
    again = asked([entry(outcome="ok"), entry(outcome="failed"), entry(id="n2"), entry(id="n2")], known, NOW)
    assert (again.known, again.differing, [change.key for change in again.changes]) == (["n1", "n2"], ["n1"], ["n2"])


def test_runs_are_entered_by_the_callback_alone_and_nothing_is_taken_back(url: str) -> None:
    with Ledger(url) as ledger:
        with pytest.raises(Refused, match="runs are entered by the callback"):
            put(ledger, entry(kind="run"))
        put(ledger, entry())
    actions = ledger.books["operations"].actions
    assert all(action.after for action in actions.values())
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET hash = x'00'"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                connection.execute(statement)


@pytest.mark.parametrize("years", [0, 4, "4", -5, 5.5, "long", None, 101])
def test_less_than_five_years_are_refused(years: Any) -> None:
    limits = tree.load(tree.ROOT / "roles/operations_journal/limits.yml")
    name = "operations_journal_keep_years"
    (said,) = complaints("operations_journal", {name: limits[name]}, {name: years}, [name])
    assert "it must be a whole number from 5 to 100 (clause SM-4.11-2)" in said
    assert not complaints("operations_journal", {name: limits[name]}, {name: 5}, [name])


def test_five_years_from_a_leap_day() -> None:
    assert report.years_before(datetime.date(2028, 2, 29), 5) == datetime.date(2023, 2, 28)
    assert report.years_before(datetime.date(2026, 11, 28), 5) == datetime.date(2021, 11, 28)


# --- what hosts tell


def state(identity: str, host: str) -> State:
    return State(identity, 1, 1, {"id": identity, "hosts": [host]})


TOLD = {
    "history": [
        {
            "id": "b1",
            "kind": "backup",
            "class": "system",
            "started": "2026-11-27T02:00:00+00:00",
            "seconds": 4.2,
            "outcome": "ok",
            "snapshot": "ab",
            "bytes_added": 10,
            "error": None,
        }
    ],
    "sessions": [
        {"id": "login-1", "kind": "login", "at": "2026-11-27T03:00:00Z", "service": "sshd", "user": "suzuki"},
        {
            "id": "p-1",
            "kind": "privilege",
            "at": "2026-11-27T03:00:00Z",
            "user": "suzuki",
            "target": "root",
            "count": 4,
        },
    ],
    "errors": [
        {"id": "error-1", "kind": "error", "at": "2026-11-27T04:00:00Z", "unit": "app.service", "message": "failed"}
    ],
    "log_storage": [
        {
            "day": "2026-11-26",
            "closed": "2026-11-27T00:20:00Z",
            "sha256": "ab" * 32,
            "signed": True,
            "records": 10,
            "senders": 2,
        }
    ],
    "malware_states": [
        {
            "at": "2026-11-27T05:00:00Z",
            "ok": "2026-11-26T01:00:00Z",
            "checked": "2026-11-27T04:10:00Z",
            "error": "the server is away, token=swordfish7734",
            "version": 17,
            "made": None,
            "scan_started": "2026-11-22T02:00:00Z",
            "gaps": 0,
        }
    ],
    "malware_scans": [
        {
            "started": "2026-11-22T02:00:00Z",
            "finished": "2026-11-22T04:00:00Z",
            "seconds": 7200.4,
            "files": 90,
            "finds": 1,
        }
    ],
    "problems": [],
}


def test_what_hosts_tell_is_entered_once(url: str) -> None:
    problems: list[str] = []
    entries = collected.entries_of({"web1": TOLD}, NOW, problems)
    assert not problems
    with Ledger(url) as ledger:
        events = ledger.append("operations", asked(collected.own(entries, {}), {}, NOW, collected=True).changes, "auto")
        assert sorted(event.payload["kind"] for event in events) == [
            "backup",
            "error",
            "log_storage",
            "login",
            "malware_scan",
            "malware_state",
            "privilege",
        ]
        known = {state.key: state for state in ledger.states("operations")}
        assert not collected.own(entries, known)
        month = report.sort_out([state.fields for state in known.values()], "2026-11", NOW.date())
        told = reading.between(
            ledger, "2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z", ("malware_state", "malware_scan")
        )
    scan, stood = (state.fields for state in told)
    assert (scan["id"], scan["seconds"], scan["details"]["files"]) == (
        "malware_scan-web1-2026-11-22T02:00:00Z",
        7200,
        90,
    )
    assert (stood["id"], stood["outcome"], stood["details"]["ok"]) == (
        "malware_state-web1-2026-11-27",
        "failed",
        "2026-11-26T01:00:00Z",
    )
    assert "swordfish7734" not in str(stood)
    assert month.backups == {"web1": ["2026-11-27"]}
    assert "2026-11-26" in month.backups_missing["web1"]
    assert month.log_days == {"web1": ["2026-11-26"]}
    assert len(month.log_days_missing["web1"]) == 25
    assert month.sessions[("web1", "suzuki")]["privilege"] == 4


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("history", {"kind": "inspection"}, "kind: 'inspection' is none of backup"),
        ("history", {"kind": "run"}, "kind: 'run' is none of backup"),
        ("history", {"started": "2026-11-29T02:00:00Z"}, "has not come yet"),
        ("history", {"started": "soon"}, "at: must be a time"),
        ("sessions", {"kind": "note"}, "is none of login, logout and privilege"),
        ("log_storage", {"day": "some day"}, "log_storage"),
        ("malware_states", {"ok": "yesterday"}, "ok: must be a time"),
        ("malware_states", {"at": "2026-11-29T02:00:00Z"}, "has not come yet"),
        ("malware_scans", {"finished": None}, "finished: must be a time"),
        ("malware_scans", {"files": "many"}, "malware_scans"),
    ],
)
def test_a_host_tells_only_what_it_may(where: str, change: dict[str, Any], message: str) -> None:
    told = {**TOLD, where: [{**TOLD[where][0], **change}, 5, None]}
    problems: list[str] = []
    entries = collected.entries_of({"web1": told, "web2": "nonsense"}, NOW, problems)
    assert len(entries) == (6 if where != "sessions" else 5)
    (said,) = problems
    assert said.startswith(f"web1: {where}: ")
    assert message in said


def test_no_host_keeps_another_ones_entry_out() -> None:
    entries = collected.entries_of({"web1": TOLD, "web2": {"history": TOLD["history"]}}, NOW, [])
    names = [one["id"] for one in collected.own(entries, {}) if one["kind"] == "backup"]
    assert sorted(names) == ["b1", "web2/b1"]
    of_another = collected.own(entries, {"b1": state("b1", "mallory")})
    assert sorted(one["id"] for one in of_another if one["kind"] == "backup") == ["web1/b1", "web2/b1"]
    of_change = collected.own(entries, {"b1": state("b1", "web1")})
    assert [one["id"] for one in of_change if one["kind"] == "backup"] == ["web2/b1"]


# --- a month


def run_of(identity: str, **fields: Any) -> dict[str, Any]:
    opening = opened(kijun_change_implementer="suzuki", kijun_change_confirmer="tanaka")
    whole = {"id": identity, **opening, **finished(opening)}
    return {**whole, **fields, "run": {**whole["run"], **fields.get("run", {})}}


OK = {"status": "finished", "outcome": "ok"}


def test_a_month_is_sorted_out() -> None:
    entries = [
        run_of("r-failed"),
        run_of("r-ok", **OK),
        run_of("r-alone", **OK, confirmer=""),
        run_of("r-self", **OK, confirmer="Suzuki"),
        run_of("r-open", status="open", outcome="", run={"changes": []}),
        run_of("r-own", status="open", outcome="", run={"changes": []}),
        run_of("r-check", **OK, run={"check": True}),
        run_of("r-lab", **OK, ticket="", run={"environment": "lab"}),
        run_of("r-emergency", **OK, run={"emergency": "the ledger was down"}),
        run_of("r-october", **OK, at="2026-10-31T23:59:59Z"),
        {**run_of("k-back", **OK, ticket="CHG-9"), "kind": "rollback", "run": None},
        {**run_of("i-1", **OK), "kind": "inspection", "at": "2026-12-02T00:00:00Z", "details": {"month": "2026-11"}},
    ]
    month = report.sort_out(entries, "2026-11", datetime.date(2026, 12, 2), own_run="r-own")

    def names(key: str) -> list[str]:
        return [one["id"] for one in month.lists[key]]

    assert names("releases") == ["r-failed", "r-ok", "r-alone", "r-self", "r-emergency", "k-back"]
    assert names("failed") == ["r-failed"]
    assert names("rolled_back") == ["k-back"]
    assert names("unconfirmed") == ["r-alone", "r-self"]
    assert names("unfinished") == ["r-open"]
    assert names("emergencies") == ["r-emergency"]
    assert names("inspections") == ["i-1"]
    assert names("other_runs") == ["r-open", "r-own", "r-check", "r-lab"]


def test_a_change_and_the_run_that_made_it_are_one_release() -> None:
    change = {**run_of("k-1", **OK), "kind": "change", "run": None, "hosts": ["web1"], "at": "2026-11-28T11:01:00Z"}
    others = [
        {**change, "id": "k-later", "at": "2026-11-28T12:00:00Z"},
        {**change, "id": "k-other", "ticket": "CHG-8"},
        {**change, "id": "k-elsewhere", "hosts": ["db1"]},
    ]
    month = report.sort_out([run_of("r-1", **OK), change, *others], "2026-11", datetime.date(2026, 12, 2))
    assert [one["id"] for one in month.lists["releases"]] == ["k-1", "k-later", "k-other", "k-elsewhere"]
    assert [one["id"] for one in month.lists["other_runs"]] == ["r-1"]
    assert month.lists["releases"][0]["of_run"]["id"] == "r-1"
    assert "of_run" not in month.lists["releases"][1]
    page = report.releases_page(month.lists["releases"], "2026-11", Verification("operations", 2, "00" * 32))
    assert '"field_implementer","suzuki"' in page


def test_pages_show_text_of_hosts_as_text_alone() -> None:
    bad = "</script><script>alert(1)</script>"
    entries = [
        run_of("r-1", **OK, summary=bad),
        {**run_of("k-1"), "kind": "change", "run": None, "details": {"a": bad}},
    ]
    month = report.sort_out(entries, "2026-11", datetime.date(2026, 12, 2))
    verification = Verification("operations", 2, "00" * 32)
    for page in (
        report.page(month, verification),
        report.releases_page(month.lists["releases"], "2026-11", verification),
    ):
        assert bad not in page
        assert "alert(1)" in page
        assert "運用記録簿" in page or "リリース履歴" in page
        assert "suzuki" in page


@pytest.mark.parametrize("month", ["2026-13", "2026", "", "2026-1", "x"])
def test_what_is_no_month(month: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        report.days_of(month)


def test_days_of_months() -> None:
    assert len(report.days_of("2026-11")) == 30
    assert report.days_of("2028-02")[-1] == "2028-02-29"
    assert report.days_of("2026-12")[-1] == "2026-12-31"


def test_details_that_are_too_many_are_refused(url: str) -> None:
    with Ledger(url) as ledger, pytest.raises(Refused, match="it may have 65536"):
        put(ledger, entry(details={"x": "long " * 20_000}))
    assert json.dumps({}) == "{}"
