# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine takes, what it shows of addresses, and tampering with exported lists of events. tests/ledger runs the
engine on both databases.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books import BOOKS
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import (
    Checkpoint,
    Ledger,
    masked,
    verify_chain,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import (
    LedgerError,
    Problem,
    Refused,
    Stale,
    Unreachable,
)
from hypothesis import given, settings
from hypothesis import strategies as st

AT = "2026-11-21T03:00:00Z"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def opened(empty: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{empty.with_name('ledger.sqlite')}") as ledger:
        yield ledger


@pytest.fixture
def ledger(empty: Path, opened: Ledger) -> Ledger:
    """An empty ledger, always at the same place: what SQLAlchemy knows of it need not be made again."""
    return emptied(opened, empty)


def emptied(ledger: Ledger, empty: Path) -> Ledger:
    ledger.close()
    shutil.copy(empty, empty.with_name("ledger.sqlite"))
    return ledger


@pytest.fixture(scope="module")
def rows(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> sample.Rows:
    path = tmp_path_factory.mktemp("ledger") / "filled.sqlite"
    shutil.copy(empty, path)
    with Ledger(f"sqlite:///{path}") as ledger:
        sample.fill(ledger)
    return sample.read_rows(f"sqlite:///{path}")


def verified(rows: list[sample.Row], *checkpoints: Checkpoint, book: str = "accounts") -> Any:
    return verify_chain(book, [(row.sequence, row.record.encode(), row.hash) for row in rows], checkpoints)


LISTED = [mutation for mutation in sample.MUTATIONS if mutation not in sample.ON_HEADS]


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(LISTED), st.integers(0, 99), st.integers(0, 255))
def test_a_mutated_list_of_events_is_found(rows: sample.Rows, mutation: Any, n: int, m: int) -> None:
    """A list has no head; a checkpoint of its end stands in its place, and knows the last event itself."""
    book = ("accounts", "reconciliations")[m % 2]
    count, digest = rows.heads[book]
    end = Checkpoint(book, count, digest.hex(), AT)
    assert verified(rows.of(book), end, book=book).ok
    tampered = mutation(rows, book, n % count + 1, m)
    for name, number in tampered.broken.items():
        found = verified(tampered.rows.of(name), *([end] if name == book else []), book=name)
        # What was added after the checkpoint, and holds, is nothing that a list can tell from a new event.
        expected = None if mutation is sample.insert_at_the_end else min(number, count)
        assert found.broken_at == expected
        assert found.ok == (expected is None)
        assert bool(found.reason) == (expected is not None)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 99), st.sets(st.integers(1, 10), min_size=1), st.booleans())
def test_checkpoints_find_a_chain_that_was_written_anew(
    rows: sample.Rows, n: int, counts: set[int], told_again: bool
) -> None:
    """Events from n on are forged and hashed as they should be; whoever does so may have new checkpoints told."""
    mine = rows.of("accounts")
    n = n % len(mine) + 1
    forged = sample.rehashed([*mine[: n - 1], sample.edited(mine[n - 1], actor="mallory"), *mine[n:]], n - 1)
    assert verified(forged).ok
    told = [Checkpoint("accounts", count, mine[count - 1].hash.hex(), AT) for count in counts]
    later = [Checkpoint("accounts", count, forged[count - 1].hash.hex(), "2027-01-01T00:00:00Z") for count in counts]
    found = verified(forged, *told, *(later if told_again else []))
    assert found.broken_at == min((count for count in counts if count >= n), default=None)
    assert verified(mine, *told).ok


@given(st.integers(0, 10), st.integers(1, 10))
def test_checkpoints_find_a_chain_that_was_cut_off(rows: sample.Rows, left: int, count: int) -> None:
    mine = rows.of("accounts")
    told = Checkpoint("accounts", count, mine[count - 1].hash.hex(), AT)
    found = verified(mine[:left], told)
    assert found.broken_at == (left + 1 if count > left else None)


def test_checkpoints_of_other_books_do_not_matter(rows: sample.Rows) -> None:
    assert verified(rows.of("accounts"), Checkpoint("reconciliations", 99, "00" * 32, AT)).ok


def test_a_book_without_events_holds() -> None:
    found = verified([])
    assert (found.ok, found.count, found.head) == (True, 0, "00" * 32)


@pytest.mark.parametrize("record", ["", "[]", "null", "{}", '{"book":"accounts"}'])
def test_what_is_no_record_does_not_hold(record: str) -> None:
    [row] = sample.rehashed([sample.Row("accounts", 1, '{"book":"accounts"}', b"")])
    assert verified([row._replace(record=record)]).broken_at == 1


# What the engine takes.


def problems(ledger: Ledger, *changes: Change, **more: Any) -> list[Problem]:
    with pytest.raises(Refused) as refused:
        ledger.append("accounts", changes, "yamada", **more)
    assert not ledger.events("accounts")
    return refused.value.problems


@pytest.mark.parametrize("actor", ["", "  ", "a\nb", "a\0b", "\u202etanaka"])
def test_nobody_acts_namelessly(ledger: Ledger, actor: str) -> None:
    with pytest.raises(Refused, match="actor"):
        ledger.append("accounts", [sample.request()], actor)
    assert not ledger.events("accounts")


@pytest.mark.parametrize("text", ["T\n1", "T\0001", "T\ud800", "T\u200b1", "\x1b[2J"])
@pytest.mark.parametrize("field", ["ticket", "approver"])
def test_tickets_and_approvers_are_one_line_for_every_action(ledger: Ledger, field: str, text: str) -> None:
    """Also where no field of the account takes them over, as in a suspension."""
    changes = [*sample.WAYS["approved"], Change("tanaka", "suspend", sample.REASON, row=3, **{field: text})]
    [problem] = problems(ledger, *changes)
    assert (problem.row, problem.key, problem.field, problem.value) == (3, "tanaka", field, text)
    assert "visible characters" in problem.reason
    assert str(problem).isprintable()


def test_blanks_around_a_ticket_are_no_part_of_it(ledger: Ledger) -> None:
    ledger.append(
        "accounts", [sample.request(), Change("tanaka", "approve", approver=" sato ", ticket="T-1\u3000")], "y"
    )
    event = ledger.events("accounts")[-1]
    assert (event.approver, event.ticket) == ("sato", "T-1")
    assert ledger.append("accounts", [sample.approve()], "y") == []


def test_a_list_that_a_book_cannot_hold_is_refused(ledger: Ledger) -> None:
    bad = Change("2026-11-21T03:00:00Z", "record", {**sample.run(1).payload, "report": "a\0b"})
    with pytest.raises(Refused, match=r"U\+0000"):
        ledger.append("reconciliations", [bad], "yamada")
    assert not ledger.events("reconciliations")


def test_all_problems_of_all_rows_are_told(ledger: Ledger) -> None:
    changes = [
        Change("Tanaka", "request", {**sample.APPLICATION, "uid": 5}, row=1),
        Change("suzuki", "nonsense", row=2),
        Change("sato", "request", {"hosts": ["a"], "status": "active"}, row=3),
        sample.request(),
    ]
    assert {(problem.row, problem.field) for problem in problems(ledger, *changes)} == {
        *((1, "login"), (1, "uid"), (2, "action")),
        *((3, "status"), (3, "person"), (3, "department"), (3, "justification")),
    }


def test_many_problems_are_counted_not_printed() -> None:
    shown = str(Refused([Problem(n, "tanaka", "uid", "1", "is wrong") for n in range(1000)]))
    assert shown.count("row ") == 40
    assert shown.endswith("and 960 more")


def test_a_private_key_in_the_wrong_place_is_not_repeated(ledger: Ledger) -> None:
    secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAASECRET"
    age = "AGE-SECRET-KEY-1QQQ"
    found = problems(ledger, sample.request(ssh_keys=[secret], age_key=age))
    assert {problem.field for problem in found} == {"ssh_keys.0", "age_key"}
    assert not [text for problem in found for text in (str(problem),) if "AAAASECRET" in text or "1QQQ" in text]


def test_a_long_value_is_cut_in_complaints(ledger: Ledger) -> None:
    [problem] = problems(ledger, sample.request(justification="x" * 100000))
    assert len(str(problem)) < 400
    assert "100000 characters" in problem.value


def test_a_version_that_is_not_the_newest_is_stale(ledger: Ledger) -> None:
    ledger.append("accounts", sample.WAYS["active"], "yamada")
    late = Change("tanaka", "suspend", sample.REASON, version=2, row=7)
    with pytest.raises(Stale) as stale:
        ledger.append("accounts", [late], "yamada")
    assert str(stale.value) == "row 7: tanaka: version '2': the entry has version 3 by now"
    fresh = Change("tanaka", "suspend", sample.REASON, version=3)
    assert [event.version for event in ledger.append("accounts", [fresh], "yamada")] == [4]


def test_the_time_may_be_given(ledger: Ledger) -> None:
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    [event] = ledger.append("accounts", [sample.request()], "y", at=datetime.datetime(2026, 1, 1, 8, 0, 0, 0, tokyo))
    assert event.at == "2025-12-31T23:00:00Z"
    assert event.payload["valid_from"] == "2026-01-01"


def test_unknown_names_are_told(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no book 'nonsense'; there are %s" % ", ".join(sorted(BOOKS))):
        ledger.verify("nonsense")
    with pytest.raises(LedgerError, match="no field 'nonsense'"):
        ledger.states("accounts", {"nonsense": 1})
    with pytest.raises(LedgerError, match="events have no 'payload'"):
        ledger.events("accounts", {"payload": 1})
    with pytest.raises(LedgerError, match="cannot be looked for"):
        ledger.states("accounts", {"issued": {"a": "b"}})


# What it shows of addresses.


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://kijun_writer:Secret0@db.example.com/kijun",
        "postgresql://db.example.com/kijun?user=kijun_writer&password=Secret0&sslpassword=Secret0",
        "postgresql://kijun_writer:Secret0@db.example.com:Secret0/kijun",
        "postgresql kijun_writer Secret0",
        "mysql://root:Secret0@db.example.com/kijun",
    ],
)
def test_passwords_are_never_shown(url: str) -> None:
    assert "Secret0" not in masked(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://root:Secret0@db.example.com/kijun"),
        "postgresql://kijun_writer:Secret0@db.example.com:Secret0/kijun",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Unreachable, match="postgresql") as refused:
        Ledger(url)
    assert "Secret0" not in str(refused.value)


def test_records_hold_what_the_interface_says(rows: sample.Rows) -> None:
    fields = {"sequence", "book", "key", "version", "action", "payload", "actor", "approver", "ticket", "at"}
    assert {frozenset(json.loads(row.record)) for row in rows.events} == {frozenset(fields)}
