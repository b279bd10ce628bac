# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the account book: what is refused and how it is told, the statuses, and that nothing is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.accounts import (
    Account,
    AccountContext,
    Accounts,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Problem, Refused
from hypothesis import given, settings
from hypothesis import strategies as st

BOOK = "accounts"
CONTEXT = AccountContext(
    hosts={
        **{host: frozenset({host}) for host in ("web1", "web2", "db1")},
        "webservers": frozenset({"web1", "web2"}),
        "databases": frozenset({"db1"}),
    },
    sudo_rules=frozenset({"restart-web"}),
    departments=frozenset({"Planning", "Sales"}),
)


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


def everything(ledger: Ledger) -> Any:
    return ledger.events(BOOK), ledger.states(BOOK), ledger.checkpoint(BOOK).head


def refused(ledger: Ledger, *changes: Change, context: AccountContext | None = CONTEXT) -> list[Problem]:
    """The problems of a batch, the last change of which comes from row 7; that nothing was written is looked at."""
    before = everything(ledger)
    with pytest.raises(Refused) as caught:
        ledger.append(BOOK, [*changes[:-1], replace(changes[-1], row=7)], "yamada", context=context)
    assert everything(ledger) == before
    for problem in caught.value.problems:
        assert (problem.row, problem.key) == (7, changes[-1].key)
        assert problem.reason
        assert str(problem).isprintable()
        assert str(problem) in str(caught.value)
    return caught.value.problems


def only(problems: list[Problem], field: str, value: str, reason: str) -> None:
    assert [(problem.field, problem.value) for problem in problems] == [(field, value)]
    assert reason in problems[0].reason


def done(ledger: Ledger, *changes: Change, **more: Any) -> dict[str, Any]:
    """The account after changes that nothing is wrong with."""
    ledger.append(BOOK, changes, "yamada", **{"context": CONTEXT, **more})
    state = ledger.get(BOOK, changes[-1].key)
    assert state is not None
    return state.fields


# Login names.

FORM = "must be a-z, 0-9"
LOGINS = {
    "quotes": ("tan'aka", 'tan"aka', "tan`aka`"),
    "line ends": ("tanaka\n", "tan\naka", "tanaka\r", "tanaka\u2028", "tanaka\0"),
    "dash first": ("-tanaka", "-rf", "--help"),
    "upper case": ("Tanaka", "tanakA", "TANAKA"),
    "too long": ("a" * 33, "a" * 4096),
    "look-alikes": (
        "t\u0430naka",
        "tan\uff41ka",
        "tana\u200bka",
        "tan\u00e4ka",
        "r\u043eot",
        "\u212aato",
        "tanaka\u0301",
    ),
    "other signs": (
        "",
        " ",
        "tan aka",
        " tanaka",
        "tanaka:x",
        "tan/aka",
        "../tanaka",
        "1tanaka",
        "tanaka$",
        "*",
        "%web",
    ),
}


@pytest.mark.parametrize("login", [login for logins in LOGINS.values() for login in logins], ids=ascii)
def test_a_login_name_of_another_form_is_refused(ledger: Ledger, login: str) -> None:
    for action in ("request", "adopt"):
        change = replace(sample.act("kato", action), key=login, ticket="T-1")
        problems = refused(ledger, change)
        assert {problem.field for problem in problems} == {"login"}
        assert problems[0].value in (login, f"{login[:200]}... ({len(login)} characters)")
        assert (
            FORM in problems[0].reason or "visible characters" in problems[0].reason or "blanks" in problems[0].reason
        )


@pytest.mark.parametrize(
    "login", ["root", "daemon", "www-data", "nobody", "sshd", "_apt", "systemd-network", "systemd-x"]
)
def test_a_system_accounts_name_is_refused(ledger: Ledger, login: str) -> None:
    only(refused(ledger, sample.request(login)), "login", login, "system account")


@pytest.mark.parametrize("login", ["a", "_svc", "tanaka", "tanaka-t_2", "a" * 32])
def test_a_good_login_name_is_taken(ledger: Ledger, login: str) -> None:
    assert done(ledger, sample.request(login))["login"] == login


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_the_model_takes_only_what_useradd_takes(login: str) -> None:
    fields = {**sample.APPLICATION, "login": login, "valid_from": "2026-01-01", "status": "requested"}
    try:
        Account.model_validate(fields)
    except ValueError:
        return
    assert login.isascii()
    assert 1 <= len(login) <= 32
    assert login[0] in "abcdefghijklmnopqrstuvwxyz_"
    assert set(login) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


# Fields.


@pytest.mark.parametrize(
    ("fields", "field", "value", "reason"),
    [
        ({"sudo": ["restart-web", "everything"]}, "sudo", "everything", "none of the rules"),
        ({"hosts": ["web1", "web9"]}, "hosts", "web9", "no host or group"),
        ({"department": "Nowhere"}, "department", "Nowhere", "Planning, Sales"),
        ({"hosts": []}, "hosts", "", "needs it"),
        ({"hosts": "web1"}, "hosts", "web1", "list"),
        ({"person": " \u3000 "}, "person", " \u3000 ", "needs it"),
        ({"justification": "  "}, "justification", "  ", "needs it"),
        ({"person": "Sample\nPerson"}, "person", "Sample\nPerson", "U+000A"),
        ({"person": "Sample\u202ePerson"}, "person", "Sample\u202ePerson", "U+202E"),
        ({"person": "x" * 129}, "person", "x" * 129, "128"),
        ({"kind": "god"}, "kind", "god", "administrator"),
        ({"shell": "bash"}, "shell", "bash", "match"),
        ({"shell": "/bin/bash\n"}, "shell", "/bin/bash\n", "match"),
        ({"shell": "/bin/sh -c x"}, "shell", "/bin/sh -c x", "match"),
        ({"groups": ["-G"]}, "groups.0", "-G", "no group's name"),
        ({"groups": ["www", "WWW"]}, "groups.1", "WWW", "no group's name"),
        ({"uid": 0}, "uid", "0", "1000"),
        ({"uid": 60000}, "uid", "60000", "59999"),
        ({"uid": 1000.5}, "uid", "1000.5", "integer"),
        ({"age_key": "age1xyz"}, "age_key", "age1xyz", "age recipient"),
        ({"mfa": "perhaps"}, "mfa", "perhaps", "boolean"),
        ({"valid_from": "2026-02-30"}, "valid_from", "2026-02-30", "day"),
        ({"valid_from": "tomorrow"}, "valid_from", "tomorrow", "YYYY-MM-DD"),
        ({"valid_from": "20260101"}, "valid_from", "20260101", "YYYY-MM-DD"),
        ({"valid_from": 86400}, "valid_from", "86400", "YYYY-MM-DD"),
        ({"valid_until": "2020-01-01", "valid_from": "2019-01-01"}, "valid_until", "2020-01-01", "over already"),
        ({"status": "active"}, "status", "active", "request sets only"),
        ({"approver": "sato"}, "approver", "sato", "request sets only"),
        ({"nonsense": "x"}, "nonsense", "x", "request sets only"),
    ],
    ids=lambda value: ascii(value) if isinstance(value, dict) else "",
)
def test_a_wrong_field_is_refused(ledger: Ledger, fields: dict[str, Any], field: str, value: str, reason: str) -> None:
    only(refused(ledger, sample.request(**fields)), field, value, reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"valid_from": "2030-01-02", "valid_until": "2030-01-01"},
            "valid_until 2030-01-01 is before valid_from 2030-01-02",
        ),
        ({"kind": "outsourced", "contractor": "Sample K.K."}, "contractor and valid_until"),
        ({"kind": "outsourced", "valid_until": "2099-01-01", "contractor": " "}, "contractor and valid_until"),
        ({"contractor": "Sample K.K."}, "for accounts of kind outsourced"),
        ({"kind": "service"}, "documentation"),
        ({"kind": "batch", "documentation": " "}, "documentation"),
        ({"kind": "shared-exception"}, "exception"),
        ({"kind": "shared-exception", "exception": " "}, "exception"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(ledger: Ledger, fields: dict[str, Any], reason: str) -> None:
    [problem] = refused(ledger, sample.request(**fields))
    assert reason in problem.reason


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJsWLbh6TuOC8VNbCf2w8LAALcuAXkYTsbTxTbqwZLKP"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "TYPE BASE64 COMMENT"),
        ("tanaka", "TYPE BASE64 COMMENT"),
        (f'command="/bin/sh" {KEY}', "without options"),
        (KEY + "\n" + KEY, "U+000A"),
        (KEY[:-4], "damaged"),
        (KEY.replace("AAAAC3", "AAAAC4"), "not of type"),
        (KEY.replace("ssh-ed25519 ", "ssh-rsa "), "not of type"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAA=", "TYPE one of"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC3", "damaged"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAgEB", "3072 bits"),
    ],
)
def test_a_bad_ssh_key_is_refused(ledger: Ledger, key: str, reason: str) -> None:
    [problem] = refused(ledger, sample.request(ssh_keys=[KEY + " good", key]))
    assert (problem.field, problem.value) == ("ssh_keys.1", key)
    assert reason in problem.reason


def test_fields_are_stored_in_one_form(ledger: Ledger) -> None:
    fields = done(
        ledger,
        sample.request(
            person=" 山田\u3000太郎 ",
            hosts=["web2", "web1", "web2"],
            ssh_keys=[f"{KEY}   a   b "],
            justification="e\u0301",
        ),
    )
    assert fields["person"] == "山田 太郎"
    assert fields["hosts"] == ["web1", "web2"]
    assert fields["ssh_keys"] == [f"{KEY} a b"]
    assert fields["justification"] == "\u00e9"


# Who asks and who approves.


@pytest.mark.parametrize(
    ("approver", "requester", "reason"),
    [
        ("", "suzuki", "needs an approver"),
        ("suzuki", "suzuki", "what they themselves asked for"),
        (" suzuki\u3000", "suzuki", "what they themselves asked for"),
        ("SUZUKI", "suzuki", "what they themselves asked for"),
        ("ｓｕｚｕｋｉ", "suzuki", "what they themselves asked for"),
        ("Person of tanaka", "suzuki", "their own account"),
        ("person of  tanaka ", "suzuki", "their own account"),
        ("tanaka", "suzuki", "their own account"),
    ],
)
@pytest.mark.parametrize("action", ["approve", "change", "adopt", "reissue", "activate"])
def test_nobody_approves_for_themselves(
    ledger: Ledger, action: str, approver: str, requester: str, reason: str
) -> None:
    way = {"approve": "requested", "change": "active", "adopt": "", "reissue": "active", "activate": "suspended"}
    if action == "activate" and not approver:
        reason = "only by approval"
    if way[action]:
        done(ledger, *sample.WAYS[way[action]])
    change = sample.act("tanaka", action)
    payload = change.payload if action == "approve" else {**change.payload, "requester": requester}
    only(
        refused(ledger, replace(change, payload=payload, approver=approver, ticket="T-5")),
        "approver",
        " ".join(approver.split()),
        reason,
    )


@pytest.mark.parametrize("action", ["approve", "change", "adopt", "reissue", "activate"])
def test_an_approval_has_a_ticket(ledger: Ledger, action: str) -> None:
    way = {"approve": "requested", "change": "active", "adopt": "", "reissue": "active", "activate": "suspended"}
    if way[action]:
        done(ledger, *sample.WAYS[way[action]])
    only(refused(ledger, replace(sample.act("tanaka", action), ticket=" ")), "ticket", "", "application's number")


def test_an_unapproved_request_is_not_activated(ledger: Ledger) -> None:
    done(ledger, sample.request())
    only(
        refused(ledger, Change("tanaka", "activate")),
        "status",
        "requested",
        "activate is for an entry that is approved",
    )


@pytest.mark.parametrize("identity", [None, "", "  "])
def test_a_password_is_reissued_only_to_whom_somebody_recognised(ledger: Ledger, identity: str | None) -> None:
    done(ledger, *sample.WAYS["active"])
    payload = {} if identity is None else {"identity_check": identity}
    only(
        refused(ledger, Change("tanaka", "reissue", payload, approver="sato", ticket="T-5")),
        *("identity_check", identity or "", "needs it"),
    )


def test_a_review_is_not_of_the_future(ledger: Ledger) -> None:
    done(ledger, *sample.WAYS["active"])
    review = sample.act("tanaka", "review")
    late = replace(review, payload={**review.payload, "reviewed_at": "2999-01-01"})
    only(refused(ledger, late), "reviewed_at", "2999-01-01", "future")


# One account a person, one person an account.


def second(**fields: Any) -> Change:
    return sample.request("tanaka2", person="Person of tanaka", **fields)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (["web1"], ["web1"]),
        (["web1", "db1"], ["web2", "db1"]),
        (["webservers"], ["web2"]),
        (["web2"], ["webservers"]),
        (["webservers"], ["webservers"]),
    ],
)
@pytest.mark.parametrize("status", ["requested", "approved", "active"])
def test_a_second_account_on_the_same_hosts_is_refused(
    ledger: Ledger, status: str, first: list[str], other: list[str]
) -> None:
    way = sample.WAYS[status]
    done(ledger, sample.request(hosts=first), *way[1:])
    only(refused(ledger, second(hosts=other)), "person", "Person of tanaka", "has tanaka on")
    assert done(ledger, second(hosts=other, exception="tests the login page"))["status"] == "requested"


def test_a_second_account_in_the_same_batch_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="say in exception why a second one"):
        ledger.append(BOOK, [sample.request(), second()], "yamada", context=CONTEXT)
    assert not ledger.events(BOOK)


def test_blanks_do_not_make_another_person(ledger: Ledger) -> None:
    done(ledger, sample.request(person="山田 太郎"))
    only(
        refused(ledger, sample.request("yamada2", person="山田\u3000 太郎")),
        "person",
        "山田 太郎",
        "has tanaka on web1",
    )


@pytest.mark.parametrize("status", ["suspended", "disabled", "removed"])
def test_an_account_that_is_out_of_use_is_in_nobodys_way(ledger: Ledger, status: str) -> None:
    done(ledger, *sample.WAYS[status])
    assert done(ledger, second())["status"] == "requested"
    if status != "removed":
        back = sample.act("tanaka", "activate")
        only(refused(ledger, back), "person", "Person of tanaka", "has tanaka2 on web1")


def test_other_hosts_and_jobs_are_no_second_account(ledger: Ledger) -> None:
    done(ledger, *sample.WAYS["active"])
    done(ledger, second(hosts=["web2", "databases"]))
    done(ledger, sample.request("nightly", person="Person of tanaka", kind="batch", documentation="wiki/nightly"))


def test_hosts_that_are_added_later_count(ledger: Ledger) -> None:
    done(ledger, *sample.WAYS["active"])
    done(ledger, second(hosts=["db1"]), replace(sample.approve(), key="tanaka2"))
    widened = Change(
        "tanaka2", "change", {"hosts": ["webservers"], "requester": "suzuki"}, approver="sato", ticket="T-5"
    )
    only(refused(ledger, widened), "person", "Person of tanaka", "has tanaka on web1")


def test_a_login_name_in_use_is_given_to_nobody_else(ledger: Ledger) -> None:
    done(ledger, *sample.WAYS["active"])
    only(refused(ledger, sample.request(person="Another Person")), "status", "active", "not there yet")


def test_a_login_name_that_was_anothers_needs_an_exception(ledger: Ledger) -> None:
    done(ledger, *sample.WAYS["removed"])
    only(refused(ledger, sample.request(person="Another Person")), "person", "Another Person", "was Person of tanaka's")
    fields = done(ledger, sample.request(person="Another Person", exception="the old files were archived and removed"))
    assert fields["person"] == "Another Person"


def test_a_removed_account_starts_anew_from_what_its_application_says(ledger: Ledger) -> None:
    done(ledger, sample.request(groups=["adm"], mfa=True), *sample.WAYS["active"][1:], sample.act("tanaka", "issue"))
    fields = done(ledger, sample.act("tanaka", "remove"), sample.request())
    assert (fields["groups"], fields["mfa"], fields["issued"], fields["status_reason"]) == ([], False, {}, "")
    assert (fields["approver"], fields["status"]) == ("", "requested")


# Statuses.


def test_the_table_knows_every_action_and_status() -> None:
    assert set(sample.MACHINE) == set(Accounts.actions)
    assert set(sample.WAYS) == {"", *sample.STATUSES}


@pytest.mark.parametrize("status", sample.WAYS)
@pytest.mark.parametrize("action", sample.MACHINE)
def test_each_action_leads_where_the_table_says(ledger: Ledger, action: str, status: str) -> None:
    if status:
        assert done(ledger, *sample.WAYS[status])["status"] == status
    # What differs from how the account got there, so that it is not satisfied already.
    change = sample.act("tanaka", action, 77)
    if action in ("request", "adopt"):
        change = replace(change, payload={**change.payload, "groups": ["other"]})
    after = sample.MACHINE[action].get(status)
    if after is None:
        only(refused(ledger, change), "status", status or "not in the ledger", f"{action} is for an entry that is")
    else:
        assert done(ledger, change)["status"] == after


@pytest.mark.parametrize(
    ("action", "status"), [(action, status) for action, table in sample.MACHINE.items() for status in table]
)
def test_what_was_done_is_not_done_twice(ledger: Ledger, action: str, status: str) -> None:
    if status:
        done(ledger, *sample.WAYS[status])
    before = len(ledger.events(BOOK))
    change = sample.act("tanaka", action, 77)
    done(ledger, change)
    written = everything(ledger)
    assert len(written[0]) == before + 1
    done(ledger, change)
    done(ledger, change, change)
    assert everything(ledger) == written


@pytest.mark.parametrize(
    ("action", "status"), [(action, status) for action, table in sample.MACHINE.items() for status in table]
)
def test_a_dry_run_writes_nothing_and_returns_what_would_be(ledger: Ledger, action: str, status: str) -> None:
    if status:
        done(ledger, *sample.WAYS[status])
    before = everything(ledger)
    change = sample.act("tanaka", action, 77)
    [would] = ledger.append(BOOK, [change], "yamada", context=CONTEXT, dry_run=True)
    assert everything(ledger) == before
    [event] = ledger.append(BOOK, [change], "yamada", context=CONTEXT)
    assert {**would.fields(), "at": ""} | {"payload": {**would.payload, "active_since": ""}} == {
        **event.fields(),
        "at": "",
    } | {"payload": {**event.payload, "active_since": ""}}
    with pytest.raises(Refused):
        ledger.append(BOOK, [Change("tanaka", "nonsense")], "yamada", dry_run=True)


HISTORY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(HISTORY, st.integers(1, 7))
def test_any_valid_history_is_taken_and_its_projection_is_what_the_events_make(
    empty: Path, opened: Ledger, choices: list[tuple[int, int]], size: int
) -> None:
    """In batches of any size; tests/ledger does the same on PostgreSQL."""
    ledger = emptied(opened, empty)
    changes = sample.history(choices)
    for start in range(0, len(changes), size):
        ledger.append(BOOK, changes[start : start + size], "yamada", context=CONTEXT)
    assert ledger.verify(BOOK).ok
    assert ledger.compare(BOOK) == []
    stored = ledger.states(BOOK)
    assert ledger.rebuild(BOOK) == len(stored)
    assert ledger.states(BOOK) == stored
    assert [event.action for event in ledger.events(BOOK)] == [change.action for change in changes]
    expected = {key: sum(event.key == key for event in ledger.events(BOOK)) for key in {c.key for c in changes}}
    assert {state.key: state.version for state in stored} == expected
