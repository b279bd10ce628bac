# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts held against the ledger: what agrees is silent, and each single difference is found as itself."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sample_accounts as sample
from ansible_collections.kijun.baseline.plugins.action.accounts_report import enter_run
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.adoption import adoption
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.findings import KINDS, NOTES, SEVERITIES, Finding
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.reconcile import (
    HostResult,
    Options,
    Reconciliation,
    fingerprint,
    grants_all,
    reconcile_all,
    reconcile_host,
    sudo_names,
    to_suspend,
    unreached,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Refused
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade
from ansible_collections.kijun.baseline.plugins.plugin_utils.report import clause_titles
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sample_accounts import DAY, NOW, SUDO, TODAY, account, entry, key_line, print_of, state

Item = dict[str, Any]
LOGINS = ["tanaka", "suzuki", "sato"]


def two() -> tuple[Item, Item]:
    """The ledger's wishes for two persons, and the host that has exactly them."""
    expected = {"suzuki": entry("suzuki", 2), "tanaka": entry("tanaka", 1, sudo=[SUDO])}
    accounts = [account(wanted, 1000 + number) for number, wanted in enumerate(expected.values())]
    return expected, state(accounts)


def named(host: Item, login: str) -> Item:
    return next(item for item in host["accounts"] if item["name"] == login)


def judge(expected: Item, host: Item, **options: Any) -> HostResult:
    return reconcile_host("web01", expected, host, options)


def kinds(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.login, one.kind) for one in found]


# ---- what agrees ----

groups = st.lists(st.sampled_from(["www", "adm", "docker", "sudo"]), unique=True)
wishes = st.builds(
    lambda **fields: fields,
    groups=groups,
    sudo=st.lists(st.sampled_from([SUDO, "ALL=(ALL:ALL) ALL", "ALL=(www) /bin/true"]), unique=True),
    keys=st.lists(st.integers(0, 3), unique=True, max_size=3),
    expires=st.one_of(st.none(), st.integers(TODAY - 500, TODAY + 500)),
    kind=st.sampled_from(["person", "administrator", "service", "batch", "outsourced"]),
    shell=st.sampled_from(["/bin/bash", "/bin/sh", "/usr/sbin/nologin"]),
    state=st.sampled_from(["present", "present", "locked", "absent"]),
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(st.sampled_from(LOGINS), wishes, max_size=3))
def test_a_host_that_is_what_the_ledger_wants_has_no_finding(wanted: dict[str, Item]) -> None:
    expected = {}
    accounts = []
    for number, (login, fields) in enumerate(wanted.items()):
        # No two persons have one key.
        fields = {**fields, "keys": [key_line(10 * number + key) for key in fields["keys"]]}
        expected[login] = entry(login, number, **fields)
        if fields["state"] == "absent":
            continue
        suspended = {"expires": TODAY - 1, "keys": [], "password": "locked"} if fields["state"] == "locked" else {}
        administrator = any(map(grants_all, fields["sudo"])) or "sudo" in fields["groups"]
        accounts.append(account(expected[login], 1000 + number, admin=administrator, **suspended))
    result = reconcile_host("web01", expected, state(accounts))
    assert result.findings == []
    assert result.problems == []
    assert result.accounts == len(accounts)
    assert reconcile_all([result]).findings == []


def test_rules_are_compared_as_sudo_reads_them() -> None:
    expected, host = two()
    expected["tanaka"]["sudo"] = ["ALL = (root:) NOPASSWD:/usr/bin/id,/usr/bin/true"]
    named(host, "tanaka")["sudo"] = ["ALL=(root) NOPASSWD: /usr/bin/id, /usr/bin/true"]
    assert judge(expected, host).findings == []


# ---- what differs: each mutation yields its finding and no other ----


def put(**changed: Any) -> Callable[[Item, Item], None]:
    """Change fields of tanaka's account on the host."""
    return lambda expected, host: named(host, "tanaka").update(changed)


def wish(**changed: Any) -> Callable[[Item, Item], None]:
    """Change fields of what the ledger wants of tanaka."""
    return lambda expected, host: expected["tanaka"].update(changed)


def add(field: str, *values: Any) -> Callable[[Item, Item], None]:
    return lambda expected, host: named(host, "tanaka")[field].extend(values)


def both(*mutations: Callable[[Item, Item], None]) -> Callable[[Item, Item], None]:
    def apply(expected: Item, host: Item) -> None:
        for mutation in mutations:
            mutation(expected, host)

    return apply


def remove(expected: Item, host: Item) -> None:
    host["accounts"].remove(named(host, "tanaka"))


def rogue(**changed: Any) -> Callable[[Item, Item], None]:
    wanted = entry("rogue", 9, groups=[], person="")
    return lambda expected, host: host["accounts"].append(account(wanted, **{"uid": 1500, **changed}))


def primary_group(expected: Item, host: Item) -> None:
    named(host, "tanaka")["gid"] = host["groups"]["sudo"]["gid"]


def system(name: str, **changed: Any) -> Callable[[Item, Item], None]:
    return lambda expected, host: named(host, name).update(changed)


def others(*rules: str) -> Callable[[Item, Item], None]:
    return lambda expected, host: host["sudo_others"].extend(rules)


FOREIGN = {"type": "ssh-ed25519", "fingerprint": print_of(key_line(77)), "comment": ""}
KEY_1 = print_of(key_line(1))
FAR = "1970-01-01T00:00:00Z"

MUTATIONS: dict[str, tuple[Callable[[Item, Item], None], dict[tuple[str, str], str]]] = {
    "one more group": (add("groups", "docker"), {("tanaka", "rights"): "groups more: docker"}),
    "no group": (put(groups=[]), {("tanaka", "rights"): "groups less: www"}),
    "another group": (put(groups=["adm"]), {("tanaka", "rights"): "groups more: adm; groups less: www"}),
    "a primary group with rights": (primary_group, {("tanaka", "rights"): "groups more: sudo"}),
    "a rule more": (add("sudo", "ALL=(ALL) ALL"), {("tanaka", "rights"): "sudo more: ALL=(ALL) ALL"}),
    "administrator by a rule more": (
        both(add("sudo", "ALL=(ALL) ALL"), put(admin=True)),
        {("tanaka", "rights"): "sudo more: ALL=(ALL) ALL"},
    ),
    "no rule": (put(sudo=[]), {("tanaka", "rights"): f"sudo less: {SUDO}"}),
    "a shell": (put(shell="/bin/zsh"), {("tanaka", "rights"): "login shell: /bin/zsh ≠ /bin/bash"}),
    "a user id": (wish(uid=1234), {("tanaka", "rights"): "user id: 1001 ≠ 1234"}),
    "another key": (
        put(keys=[FOREIGN]),
        {("tanaka", "rights"): f"keys more: {FOREIGN['fingerprint']}; keys less: {KEY_1}"},
    ),
    "a key more": (
        add("keys", FOREIGN),
        {
            ("tanaka", "rights"): f"keys more: {FOREIGN['fingerprint']}",
            ("tanaka", "shared"): "keys, more than allowed: 2 > 1",
        },
    ),
    "no key": (put(keys=[]), {("tanaka", "rights"): f"keys less: {KEY_1}"}),
    "keys that nobody can read": (
        put(unreadable_keys="a link"),
        {("tanaka", "rights"): "keys could not be read: a link"},
    ),
    "no expiry": (wish(expires=TODAY + 9), {("tanaka", "rights"): "expires: never ≠ 2026-11-30"}),
    "a later expiry": (
        both(wish(expires=TODAY + 9), put(expires=TODAY + 10)),
        {("tanaka", "rights"): "expires: 2026-12-01 ≠ 2026-11-30"},
    ),
    "an earlier expiry": (put(expires=TODAY - 1), {("tanaka", "rights"): "expires: 2026-11-20 ≠ never"}),
    "a locked password": (put(password="locked"), {("tanaka", "rights"): "no password to log in with: locked"}),
    "gone from the host": (remove, {("tanaka", "missing"): ""}),
    "a rogue account": (
        rogue(),
        {
            ("rogue", "unregistered"): f"opened by: password; SSH key {print_of(key_line(9))}; "
            "last login 2026-11-18T10:00:00Z"
        },
    ),
    "a rogue account that is locked": (
        rogue(password="locked", keys=[], last_login=None),
        {("rogue", "unregistered"): "cannot log in: locked"},
    ),
    "a rogue administrator": (
        rogue(admin=True, groups=["sudo"], password="none", keys=[], last_login=None),
        {("rogue", "unknown_administrator"): "groups: sudo; cannot log in: none"},
    ),
    "an administrator by another's rule": (
        both(put(admin=True), others("%www ALL=(ALL) ALL")),
        {("tanaka", "unknown_administrator"): "may become root by: %www ALL=(ALL) ALL"},
    ),
    "a second root": (
        rogue(uid=0, system=True),
        {("rogue", "uid_zero"): ""},
    ),
    "a user id used twice": (
        put(uid=1000),
        {("tanaka", "duplicate_uid"): "user id: 1000; same user id as: suzuki"},
    ),
    "an empty password": (put(password="empty"), {("tanaka", "empty_password"): ""}),
    "a weak password": (put(weak="equals the login name"), {("tanaka", "weak"): "equals the login name"}),
    "another's key": (
        both(wish(keys=[key_line(2)]), lambda e, h: named(h, "tanaka").update(keys=named(h, "suzuki")["keys"])),
        {("suzuki", "shared"): f"key {print_of(key_line(2))}; accounts: suzuki, tanaka"},
    ),
    "unused": (
        put(last_login=NOW - 90 * DAY - 1),
        {("tanaka", "unused"): "last login 2026-08-23T09:59:59Z"},
    ),
    "never used since it was made": (
        put(last_login=None, created=NOW - 91 * DAY, password_changed=None),
        {("tanaka", "unused"): "never logged in since 2026-08-22T10:00:00Z"},
    ),
    "suspended and open": (
        wish(state="locked", reason="suspended: unused for 90 days"),
        {("tanaka", "leaver"): f"ledger: suspended: unused for 90 days; opened by: password; SSH key {KEY_1}"},
    ),
    "removed and open by a key": (
        both(wish(state="absent"), put(password="locked")),
        {("tanaka", "leaver"): f"opened by: SSH key {KEY_1}"},
    ),
    "suspended and still at work": (
        both(wish(state="locked"), put(password="locked", keys=[], sessions=2, processes=5, cron=True, at=1)),
        {("tanaka", "leaver"): "sessions open: 2; processes running: 5; at jobs: 1; cron table: tanaka"},
    ),
    "removed and closed": (
        both(wish(state="absent", reason="removed"), put(password="locked", keys=[])),
        {("tanaka", "remaining"): "ledger: removed"},
    ),
    "past its end": (
        wish(expires=TODAY),
        {("tanaka", "expired"): f"ended on 2026-11-21; opened by: password; SSH key {KEY_1}"},
    ),
    "locked for its date and open": (
        wish(state="locked", reason="it ended on 2026-11-19", expires=TODAY - 1),
        {("tanaka", "expired"): f"ledger: it ended on 2026-11-19; opened by: password; SSH key {KEY_1}"},
    ),
    "suspended before its date and open": (
        wish(state="locked", reason="suspended: leave", expires=TODAY - 1),
        {("tanaka", "leaver"): f"ledger: suspended: leave; opened by: password; SSH key {KEY_1}"},
    ),
    "an initial password": (
        both(wish(issued="2026-11-14T09:59:59Z"), put(must_change=True, password_changed=0)),
        {("tanaka", "never_changed"): "issued 2026-11-14T09:59:59Z"},
    ),
    "a password from before it was issued": (
        both(wish(issued="2026-11-10"), put(password_changed=TODAY - 30)),
        {("tanaka", "never_changed"): "issued 2026-11-10T00:00:00Z"},
    ),
    "sudo for nobody known": (
        others("olduser ALL=(ALL) ALL", "%wheel, root ALL=(ALL) ALL"),
        {
            ("olduser", "sudo_unknown"): "rule: olduser ALL=(ALL) ALL",
            ("%wheel", "sudo_unknown"): "rule: %wheel, root ALL=(ALL) ALL",
        },
    ),
    "a system account with a password": (
        system("www-data", password="usable"),
        {
            ("www-data", "unregistered"): "system account that can log in, user id 33; person: www-data; "
            "opened by: password"
        },
    ),
    "a system account with a key": (
        system("root", keys=[FOREIGN]),
        {
            ("root", "unregistered"): "system account that can log in, user id 0; person: root; "
            f"opened by: SSH key {FOREIGN['fingerprint']}"
        },
    ),
    "a system account that became administrator": (
        system("www-data", admin=True, sudo=["ALL=(ALL) NOPASSWD: ALL"]),
        {("www-data", "unknown_administrator"): "person: www-data; sudo: ALL=(ALL) NOPASSWD: ALL; cannot log in: none"},
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_difference_is_found_as_itself_and_nothing_else(name: str) -> None:
    expected, host = two()
    mutate, wanted = MUTATIONS[name]
    mutate(expected, host)
    found = judge(expected, host).findings
    assert {(one.login, one.kind): one.detail for one in found} == wanted
    assert len(found) == len(wanted)


def test_every_kind_that_one_host_can_show_is_among_the_mutations() -> None:
    shown = {kind for _mutate, wanted in MUTATIONS.values() for _login, kind in wanted}
    assert shown == set(KINDS) - {"second_account"}


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.sampled_from(sorted(set(MUTATIONS) - {"a user id used twice", "another's key"})),
    st.sampled_from(["sudo for nobody known", "a rogue account", "a system account with a password"]),
)
def test_differences_do_not_hide_one_another(first: str, second: str) -> None:
    logins = {login for login, _kind in MUTATIONS[first][1]}
    assume(not logins & {login for login, _kind in MUTATIONS[second][1]})
    expected, host = two()
    for name in (first, second):
        MUTATIONS[name][0](expected, host)
    found = {(one.login, one.kind): one.detail for one in judge(expected, host).findings}
    assert found == {**MUTATIONS[first][1], **MUTATIONS[second][1]}


@pytest.mark.parametrize(
    ("name", "mutate"),
    [
        ("a login on the last day", put(last_login=NOW - 90 * DAY)),
        ("a session", put(last_login=NOW - 200 * DAY, sessions=1)),
        ("a service", both(wish(kind="service"), put(last_login=NOW - 200 * DAY))),
        ("a job", both(wish(kind="batch"), put(last_login=NOW - 200 * DAY))),
        ("issued lately", both(wish(issued="2026-11-20"), put(last_login=None, password_changed=TODAY))),
        ("reactivated lately", both(wish(active_since="2026-11-20"), put(last_login=NOW - 200 * DAY))),
        ("closed", both(wish(password=False), put(last_login=None, password="none", keys=[]), wish(keys=[]))),
    ],
)
def test_what_is_used_or_not_for_people_is_not_unused(name: str, mutate: Callable[[Item, Item], None]) -> None:
    expected, host = two()
    mutate(expected, host)
    assert judge(expected, host).findings == []


def test_a_last_login_that_cannot_be_known_is_a_problem_and_no_finding() -> None:
    expected, host = two()
    named(host, "tanaka").update(last_login=None, last_login_source="none")
    result = judge(expected, host)
    assert result.findings == []
    assert result.problems == ["accounts whose last login is not known: 1"]


def test_an_initial_password_may_stay_for_its_days() -> None:
    expected, host = two()
    expected["tanaka"]["issued"] = "2026-11-14T10:00:00Z"
    named(host, "tanaka").update(must_change=True, password_changed=0)
    assert judge(expected, host).findings == []
    assert kinds(judge(expected, host, never_changed_days=6).findings) == [("tanaka", "never_changed")]


def test_rights_that_are_only_less_weigh_less() -> None:
    expected, host = two()
    named(host, "tanaka")["groups"] = []
    assert [one.severity for one in judge(expected, host).findings] == ["medium"]
    named(host, "tanaka")["groups"] = ["docker"]
    assert [one.severity for one in judge(expected, host).findings] == ["high"]


def test_names_left_out_are_listed_with_the_reason_and_judged_by_nothing() -> None:
    expected, host = two()
    named(host, "tanaka").update(password="empty", groups=["sudo"], weak="a", uid=1000)
    rogue(uid=0)(expected, host)
    host["login_account"] = "rogue"
    expected["absent"] = entry("absent", 5)
    ignored = [{"name": "tanaka", "reason": "automation"}, {"name": "absent", "reason": "elsewhere"}]
    result = judge(expected, host, ignored=ignored)
    assert result.findings == []
    assert result.ignored == [("tanaka", "automation"), ("rogue", "the account that the run logs in with")]


def test_an_account_that_may_be_shared_is_not_called_shared() -> None:
    expected, host = two()
    expected["tanaka"].update(kind="shared-exception", keys=[key_line(1), key_line(2)])
    named(host, "tanaka")["keys"] += named(host, "suzuki")["keys"]
    result = judge(expected, host, max_keys=1)
    assert result.findings == []
    assert reconcile_all([result]).findings == []


def test_the_controllers_clock_can_be_the_one_that_counts() -> None:
    expected, host = two()
    expected["tanaka"]["expires"] = named(host, "tanaka")["expires"] = TODAY
    host["time"] = NOW - 5 * DAY
    named(host, "tanaka")["expires"] = None
    assert kinds(judge(expected, host).findings) == [("tanaka", "rights")]
    assert kinds(judge(expected, host, now=NOW).findings) == [("tanaka", "expired")]


@pytest.mark.parametrize(("expires", "opened"), [(TODAY + 1, True), (TODAY, False)])
def test_an_account_closes_on_the_day_it_expires(expires: int, opened: bool) -> None:
    expected, host = two()
    expected["tanaka"]["state"] = "locked"
    named(host, "tanaka")["expires"] = expires
    assert kinds(judge(expected, host).findings) == ([("tanaka", "leaver")] if opened else [])


def test_what_the_host_could_not_say_is_carried_on() -> None:
    expected, host = two()
    host.update(problems=["/etc/sudoers.d/x: unreadable"], untried=3)
    assert judge(expected, host).problems == [
        "/etc/sudoers.d/x: unreadable",
        "password hashes not tried for lack of time: 3",
    ]


@pytest.mark.parametrize("part", ["time", "accounts"])
def test_a_state_that_lacks_a_part_is_an_error_that_names_the_host(part: str) -> None:
    expected, host = two()
    del host[part]
    with pytest.raises(ValueError, match=f"web01: .*KeyError: '{part}'"):
        judge(expected, host)


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        ({"unused_days": 0}, r"unused_days is 0; it must be a whole number from 1 \(clause SM-4.1.3-3\)"),
        ({"never_changed_days": "7"}, "never_changed_days is '7'"),
        ({"max_keys": -1}, "max_keys is -1"),
        ({"ignored": ["tanaka"]}, r"ignored holds 'tanaka'; each must be {name: ..., reason: ...}"),
        ({"ignored": [{"name": "tanaka"}]}, "ignored 'tanaka' has no reason"),
        ({"unused": 3}, "unused is unknown; known are unused_days"),
    ],
)
def test_wrong_options_are_refused_by_name(given_options: Item, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Options.of(given_options)


# ---- all hosts ----


def host_of(name: str, *pairs: tuple[Item, Item]) -> HostResult:
    """A host with accounts: what the ledger wants of each, and what differs on the host."""
    expected = {wanted["login"]: wanted for wanted, _changed in pairs}
    accounts = [account(wanted, 1000 + number, **changed) for number, (wanted, changed) in enumerate(pairs)]
    return reconcile_host(name, expected, state(accounts))


def test_a_key_used_on_several_hosts_by_several_persons_is_found_once() -> None:
    results = [
        host_of("web01", (entry("tanaka", 1), {})),
        host_of("web02", (entry("tanaka", 1), {})),
        host_of("db01", (entry("suzuki", 2, keys=[key_line(1)]), {})),
    ]
    assert [one.findings for one in results] == [[], [], []]
    (found,) = reconcile_all(results).findings
    assert (found.host, found.login, found.kind) == ("", "suzuki", "shared")
    assert found.detail == f"key {KEY_1}; accounts: suzuki (db01), tanaka (web01, web02)"


def test_a_shared_key_that_one_host_shows_is_not_told_again() -> None:
    shared = (entry("tanaka", 1), {}), (entry("suzuki", 2, keys=[key_line(1)]), {})
    whole = reconcile_all([host_of("web01", *shared), host_of("web02", (entry("tanaka", 1), {}))])
    assert [(one.host, one.kind) for one in whole.findings] == [("web01", "shared")]


def test_an_account_with_other_keys_on_each_host_is_found() -> None:
    other = {"keys": [FOREIGN]}
    whole = reconcile_all([host_of("web01", (entry("tanaka", 1), {})), host_of("web02", (entry("tanaka", 1), other))])
    assert [(one.host, one.login, one.kind, one.detail) for one in whole.findings if one.kind == "shared"] == [
        ("", "tanaka", "shared", "keys, more than allowed: 2 > 1")
    ]


def test_too_many_keys_that_one_host_shows_are_not_told_again() -> None:
    keys = [FOREIGN, {**FOREIGN, "fingerprint": KEY_1}]
    results = [host_of("web01", (entry("tanaka", 1), {"keys": keys})), host_of("web02", (entry("tanaka", 1), {}))]
    assert [(one.host, one.kind) for one in reconcile_all(results).findings] == [
        ("web01", "rights"),
        ("web01", "shared"),
    ]


def test_a_persons_second_account_is_found_on_another_host_and_unregistered() -> None:
    same = {"person": "Sample Person 1"}
    registered = [host_of("web01", (entry("tanaka", 1), {})), host_of("db01", (entry("tanaka2", 3, **same), {}))]
    (found,) = reconcile_all(registered).findings
    assert (found.login, found.kind) == ("tanaka2", "second_account")
    assert found.detail == "person: sample person 1; accounts: tanaka (web01), tanaka2 (db01)"
    assert reconcile_all(registered, {"excepted": ["tanaka", "tanaka2"]}).findings == []

    private = account(entry("hidden", 8, person="sample  person 1"), 1700)
    rogue_host = reconcile_host("db01", {}, state([private]))
    found_kinds = kinds(reconcile_all([registered[0], rogue_host]).findings)
    assert found_kinds == [("hidden", "unregistered"), ("tanaka", "second_account")]


@pytest.mark.parametrize("changed", [{"kind": "service"}, {"kind": "shared-exception"}, {"state": "locked"}])
def test_other_accounts_are_no_second_account_of_a_person(changed: Item) -> None:
    second = entry("tanaka2", 3, person="Sample Person 1", **changed)
    closed = {"password": "locked", "keys": []} if changed.get("state") else {}
    results = [host_of("web01", (entry("tanaka", 1), {})), host_of("db01", (second, closed))]
    assert reconcile_all(results).findings == []


UNUSED = {"last_login": NOW - 120 * DAY}


def test_only_what_is_unused_everywhere_is_to_be_suspended() -> None:
    results = [
        host_of("web01", (entry("tanaka", 1), UNUSED), (entry("suzuki", 2), UNUSED), (entry("sato", 3), {})),
        host_of("web02", (entry("tanaka", 1), {"last_login": NOW - 100 * DAY}), (entry("suzuki", 2), {})),
    ]
    whole = reconcile_all(results)
    assert whole.kinds["unused"] == 3
    assert to_suspend(whole) == [("tanaka", "unused since 2026-08-13T10:00:00Z on web01, web02")]


def test_nobody_is_suspended_because_of_a_host_that_could_not_say() -> None:
    unused = host_of("web01", (entry("tanaka", 1), UNUSED))
    blind = host_of("web02", (entry("tanaka", 1), {"last_login": None, "last_login_source": "none"}))
    assert to_suspend(reconcile_all([unused])) != []
    assert to_suspend(reconcile_all([unused, blind])) == []
    assert to_suspend(reconcile_all([blind, unused])) == []
    down = unreached("web03", "unreachable: timed out", ["tanaka"])
    whole = reconcile_all([unused, down])
    assert to_suspend(whole) == []
    assert whole.unreached == [("web03", "unreachable: timed out")]
    assert [summary.host for summary in whole.hosts] == ["web01"]


def test_the_whole_counts_and_sorts() -> None:
    expected, host = two()
    named(host, "tanaka")["groups"].append("docker")
    named(host, "suzuki")["weak"] = "equals the login name"
    options = {"ignored": {"nobody": "of the system"}}
    whole = reconcile_all(reconcile_host(name, expected, host, options) for name in ("web02", "web01"))
    assert [(one.severity, one.host, one.login) for one in whole.findings] == [
        ("critical", "web01", "suzuki"),
        ("critical", "web02", "suzuki"),
        ("high", "web01", "tanaka"),
        ("high", "web02", "tanaka"),
    ]
    assert whole.severities == {"critical": 2, "high": 2, "medium": 0, "low": 0}
    assert {kind: count for kind, count in whole.kinds.items() if count} == {"weak": 2, "rights": 2}
    assert list(whole.kinds) == list(KINDS)
    assert whole.accounts == 4
    assert whole.ignored == {("nobody", "of the system"): 2}


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 6), st.floats(0, 1))
def test_the_order_of_hosts_makes_no_difference(hosts: int, bad: float) -> None:
    results = [reconcile_host(*one) for one in sample.fleet(hosts, 8, bad, persons=12)]
    forward, backward = reconcile_all(results), reconcile_all(results[::-1])
    assert set(forward.findings) == set(backward.findings)
    assert to_suspend(forward) == to_suspend(backward)
    assert isinstance(forward, Reconciliation)


# ---- tables ----


def test_every_kind_names_clauses_of_the_register_and_a_severity() -> None:
    register = clause_titles()
    for kind, about in KINDS.items():
        assert about.severity in SEVERITIES, kind
        assert about.clauses, kind
        assert not set(about.clauses) - set(register), kind
    worst_first = [SEVERITIES.index(about.severity) for about in KINDS.values()]
    assert worst_first == sorted(worst_first)


def test_every_remark_has_a_place_for_its_value_in_both_languages() -> None:
    assert {code for code, words in NOTES.items() if any(word.count("{}") != 1 for word in words)} == set()


def test_a_finding_can_be_told_in_both_languages_and_kept() -> None:
    expected, host = two()
    named(host, "tanaka")["groups"].append("docker")
    (found,) = judge(expected, host).findings
    assert found.words("ja") == "余分なグループ: docker"
    assert found.as_dict() == {
        "host": "web01",
        "login": "tanaka",
        "kind": "rights",
        "severity": "high",
        "detail": "groups more: docker",
        "clauses": list(KINDS["rights"].clauses),
        "since": None,
    }


# ---- keys and rules ----


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        file = tmp_path / kind
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a comment", "-f", str(file)],
            stdin=subprocess.DEVNULL,
            check=True,
        )
        listed = subprocess.run(
            ["ssh-keygen", "-l", "-f", f"{file}.pub"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        line = file.with_suffix(".pub").read_text(encoding="utf-8")
        assert fingerprint(line) == listed.stdout.split()[1]
        options = 'from="192.0.2.0/24",command="ssh-add AAAA \\" x",no-pty '
        assert fingerprint(options + line) == fingerprint(line)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 AAA", "# ssh-ed25519-not", "hello world"])
def test_a_line_without_a_key_has_no_fingerprint(line: str) -> None:
    assert fingerprint(line) is None


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("%sudo ALL=(ALL:ALL) ALL", ["%sudo"]),
        ("a, b ,%c ALL = (root) /bin/ls", ["a", "b", "%c"]),
        (r"%domain\ users ALL=ALL", [r"%domain\ users"]),
        ("ALL, !root ALL=ALL", ["ALL"]),
        ("Defaults env_reset", []),
        ("Defaults:tanaka !requiretty, timestamp_timeout=0", []),
        ("User_Alias OPS = a, b", []),
        ("#1001 ALL=ALL", ["#1001"]),
        ("@includedir /etc/sudoers.d", []),
    ],
)
def test_names_of_sudo_rules(rule: str, names: list[str]) -> None:
    assert sudo_names(rule) == names


@pytest.mark.parametrize(
    ("rule", "granted"),
    [
        ("ALL=(ALL:ALL) ALL", True),
        ("ALL=(ALL) NOPASSWD: ALL", True),
        ("ALL=ALL", True),
        ("web01=(root) NOPASSWD:NOEXEC: /bin/ls, ALL", True),
        ("ALL=(www) ALL", False),
        (SUDO, False),
        ("ALL=(root) /bin/ALL", False),
    ],
)
def test_rules_that_make_an_administrator(rule: str, granted: bool) -> None:
    assert grants_all(rule) is granted


# ---- adoption ----


def test_adoption_proposes_rows_and_no_more_than_every_host_gives() -> None:
    everywhere = entry("tanaka", 1, sudo=[SUDO, "ALL=(root) /bin/x"], expires=TODAY + 1)
    one = state([account(everywhere, 1001), account(entry("job", 2, keys=[]), 1002, last_login=None, cron=True)])
    two_ = copy.deepcopy(one)
    named(two_, "tanaka")["groups"] += ["docker"]
    named(two_, "tanaka")["shell"] = "/bin/sh"
    rows = adoption([("web01", one), ("web02", two_)], {"restart-nginx": SUDO}, known=["job"])
    assert rows == [
        {
            "login": "tanaka",
            "person": "Sample Person 1",
            "department": "",
            "kind": "person",
            "hosts": ["web01", "web02"],
            "groups": ["www"],
            "sudo": ["restart-nginx"],
            "shell": "",
            "uid": 1001,
            "justification": "",
            "requester": "",
            "approver": "",
            "ticket": "",
            "valid_from": "",
            "valid_until": "2026-11-21",
            "ssh_keys": [],
            "password": True,
            "issued": {"web01": "2026-11-01T00:00:00Z", "web02": "2026-11-01T00:00:00Z"},
            "ssh_key_count": 1,
            "unknown_sudo": ["ALL=(root) /bin/x"],
            "differs": ["web02: groups docker", "shell: web01 /bin/bash, web02 /bin/sh"],
            "last_login": "2026-11-18",
        }
    ]


def test_adoption_guesses_kinds_and_leaves_out_what_is_not_peoples() -> None:
    accounts = [
        account(entry("boss", 1, groups=["sudo"]), 1001, admin=True),
        account(entry("job", 2, keys=[]), 1002, last_login=None, cron=True),
        account(entry("app", 3, keys=[], shell="/usr/sbin/nologin"), 1003, last_login=None, password="locked"),
        account(entry("tanaka", 4), 1004),
        account(entry("robot", 5), 1005),
        account(entry("old", 6), 1006),
    ]
    rows = adoption([("web01", state(accounts, login_account="robot"))], {}, ignored=["old"])
    assert [(row["login"], row["kind"]) for row in rows] == [
        ("app", "service"),
        ("boss", "administrator"),
        ("job", "batch"),
        ("tanaka", "person"),
    ]


def test_adoption_takes_the_keys_where_the_state_holds_them() -> None:
    item = account(entry("tanaka", 1), 1001)
    item["keys"][0]["line"] = key_line(1)
    (row,) = adoption([("web01", state([item]))], {})
    assert row["ssh_keys"] == [key_line(1)]


def test_an_adopted_account_agrees_with_its_host() -> None:
    item = account(entry("tanaka", 1, groups=["sudo", "www"], expires=TODAY + 50), 1001, admin=True)
    item["keys"][0]["line"] = key_line(1)
    host = state([item])
    (row,) = adoption([("web01", host)], {})
    adopted = entry("tanaka", 1, groups=row["groups"], keys=row["ssh_keys"], shell=row["shell"], kind=row["kind"])
    adopted.update(uid=row["uid"], password=row["password"], issued=row["issued"]["web01"], expires=TODAY + 50)
    assert reconcile_host("web01", {"tanaka": adopted}, host).findings == []


def test_runs_of_the_same_second_are_all_entered(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    upgrade(url)
    fields: Item = {"hosts": ["a"], "findings": {}, "accounts": 1, "ledger_count": 0, "ledger_head": "00" * 32}
    run = "2026-11-21T03:00:00Z"
    with Ledger(url) as ledger:
        assert enter_run(ledger, run, fields, "operator1") == run
        # The same twice is one.
        assert enter_run(ledger, run, fields, "operator1") == run
        assert enter_run(ledger, run, {**fields, "hosts": ["b"]}, "operator1") == f"{run}-2"
        with pytest.raises(Refused):
            enter_run(ledger, "2026-11-21T03:00:01Z", {**fields, "accounts": "many"}, "operator1")
        assert [state.fields["hosts"] for state in ledger.states("reconciliations")] == [["a"], ["b"]]
