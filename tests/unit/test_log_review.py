# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules, findings, the watch and the review of days, on real files of made-up records."""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import tarfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.module_utils.logs import (
    alerts,
    blocks,
    commands,
    findings,
    search,
    series,
)
from ansible_collections.kijun.baseline.plugins.module_utils.logs import watch as watch_module
from ansible_collections.kijun.baseline.plugins.module_utils.logs.records import Fields, day_files, lines, shown
from ansible_collections.kijun.baseline.plugins.module_utils.logs.review import Review
from ansible_collections.kijun.baseline.plugins.module_utils.logs.rules import Rule, Rules, complaints
from ansible_collections.kijun.baseline.plugins.module_utils.logs.watch import Watch
from hypothesis import given
from hypothesis import strategies as st
from kijun_tools import tree

NOON = 1795348800.0  # 2026-11-22T12:00:00Z
RULES: list[dict[str, Any]] = yaml.safe_load(
    (tree.ROOT / "roles/log_review/defaults/main/rules.yml").read_text("utf-8")
)["log_review_rules"]
SETTINGS = {"silent_minutes": 1440, "senders": ["web1", "web2"], "days": 366}
FAILED = "Failed password for {user} from {address} port 4711 ssh2"


class Store:
    """A log store that is written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hosts"
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        self.seq: dict[str, int] = {}

    def write(
        self,
        sender: str,
        message: str,
        at: float = NOON,
        kind: str = "authentication",
        seq: int | None = None,
        epoch: str = "e1",
        book: str = "",
        **parts: str,
    ) -> None:
        """Add a record, as the receiver and the sender's rsyslog write it: without what is empty."""
        self.seq[sender] = seq or self.seq.get(sender, 0) + 1
        moment = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds")
        what = {"tag": "sshd", "uid": "0", "comm": "sshd", **parts}
        record = ", ".join(
            [
                f'{{"epoch":"{epoch}", "seq":{self.seq[sender]}, "time":"{moment}", "host":"{sender}", "kind":"{kind}"',
                *(f'"{name}":{json.dumps(value, ensure_ascii=False)}' for name, value in what.items() if value),
                f'"msg":{json.dumps(message, ensure_ascii=False)}}}',
            ]
        ).replace("/", "\\/")
        path = self.folder / sender / f"{moment[:10]}{book}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(f"{moment} {sender} {record}\n".encode("utf-8", "surrogateescape"))

    def failed(self, sender: str, user: str, address: str, at: float) -> None:
        self.write(sender, FAILED.format(user=user, address=address), at)

    def watch(self, told: list[Any], now: float = NOON + 3600, **settings: Any) -> Watch:
        return Watch(
            str(self.folder), str(self.state), Rules(RULES), {**SETTINGS, **settings}, told.append, now=lambda: now
        )

    def review(self, day: str = "2026-11-22", told: list[Any] | None = None) -> dict[str, Any]:
        tell = [] if told is None else told
        return Review(str(self.folder), str(self.state), Rules(RULES), SETTINGS, tell.append).review(day)

    def found(self) -> dict[str, list[dict[str, Any]]]:
        """Rule -> its findings that are written down."""
        known: dict[str, list[dict[str, Any]]] = {}
        for finding in findings.stored(str(self.state / "findings")):
            known.setdefault(finding["rule"], []).append(finding)
        return known


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def watched(store: Store, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    told: list[Any] = []
    watch = store.watch(told, **settings)
    watch.look()
    return store.found()


def test_every_rule_of_the_role_is_as_it_must_be() -> None:
    assert [complaints(rule) for rule in RULES] == [[]] * len(RULES)
    assert len(Rules(RULES).rules) == len(RULES)


# A real message of each program, and the rule that must find it, and one that must not be found.
REAL = {
    "account-locked": (
        {"kind": "privilege", "tag": "sudo", "comm": "sudo"},
        "pam_faillock(sudo:auth): Consecutive login failures for user hana account temporarily locked",
        "pam_faillock(sudo:auth): User hana successfully authenticated",
    ),
    "sudo-refused": (
        {"kind": "privilege", "tag": "sudo", "comm": "sudo", "uid": "1001"},
        "    hana : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/hana ; USER=root ; COMMAND=/usr/bin/id",
        "    hana : TTY=pts/0 ; PWD=/home/hana ; USER=root ; COMMAND=/bin/echo user NOT in sudoers",
    ),
    "sudo-passwords": (
        {"kind": "privilege", "tag": "sudo", "comm": "sudo", "uid": "1001"},
        "    hana : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
        "    hana : a password is required ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
    ),
    "su-refused": (
        {"kind": "privilege", "tag": "su", "comm": "su", "uid": "1001"},
        "FAILED SU (to root) hana on pts/0",
        "(to root) hana on pts/0",
    ),
    "account-changed": (
        {"tag": "useradd", "comm": "useradd"},
        "new user: name=newone, UID=1002, GID=1002, home=/home/newone, shell=/bin/sh, from=none",
        "failed adding user 'newone', data deleted",
    ),
    "account-regrouped": (
        {"tag": "gpasswd", "comm": "gpasswd"},
        "user newone added by root to group cdrom",
        "password of group cdrom changed by root",
    ),
    "password-changed": (
        {"tag": "chpasswd", "comm": "chpasswd"},
        "pam_unix(chpasswd:chauthtok): password changed for newone",
        "pam_unix(chpasswd:chauthtok): authentication token manipulation error",
    ),
    "root-logged-in": (
        {},
        "Accepted publickey for root from 192.0.2.7 port 4711 ssh2: ED25519 SHA256:abc",
        "Accepted publickey for admin from 192.0.2.7 port 4711 ssh2: ED25519 SHA256:abc",
    ),
    "bulk-transfer-database": (
        {"kind": "application", "tag": "postgres", "comm": "postgres"},
        "2026-11-22 12:00:00 UTC [99] shop LOG:  statement: COPY public.customers TO STDOUT;",
        "2026-11-22 12:00:00 UTC [99] shop LOG:  statement: SELECT 1 FROM orders WHERE note = 'COPY ';",
    ),
    "bulk-transfer-dump": (
        {"kind": "privilege", "tag": "sudo", "comm": "sudo", "uid": "1001"},
        "    hana : TTY=pts/0 ; PWD=/ ; USER=postgres ; COMMAND=/usr/bin/pg_dump shop",
        "    hana : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/man pg_dump",
    ),
    "removable-medium": (
        {"kind": "system", "tag": "kernel", "comm": ""},
        "usb-storage 1-1:1.0: USB Mass Storage device detected",
        "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
    ),
    "confined-program": (
        {"kind": "system", "tag": "kernel", "comm": ""},
        'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="/usr/sbin/cupsd" name="/a"',
        'audit: type=1400 audit(1.2:3): apparmor="STATUS" operation="profile_load" profile="unconfined"',
    ),
    "addresses-blocked": (
        {"kind": "system", "tag": "kernel", "uid": "", "comm": ""},
        "kijun-block: IN=eth0 OUT= MAC=aa SRC=198.51.100.9 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=4 DPT=22",
        "kijun-drop: IN=eth0 OUT= MAC=aa SRC=198.51.100.9 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=4 DPT=22",
    ),
    "polkit-refused": (
        {"kind": "privilege", "tag": "polkitd", "comm": "polkitd"},
        "Operator of unix-session:2 FAILED to authenticate to gain authorization for action "
        "org.freedesktop.login1.reboot for system-bus-name::1.9 [reboot] (owned by unix-user:hana)",
        "Operator of unix-session:2 successfully authenticated as unix-user:root",
    ),
}

AUDIT = (
    "type=SYSCALL msg=audit(1795878895.719:1691): arch=c000003e syscall=257 success=%s exit=%s a0=ffffff9c a1=7ff3 "
    "a2=80101 a3=0 items=1 ppid=1353 pid=1776 auid=%s uid=1001 gid=1001 euid=1001 suid=1001 fsuid=1001 egid=1001 "
    'sgid=1001 fsgid=1001 tty=pts0 ses=13 comm="cat" exe="%s" subj=unconfined key="%s" ARCH=x86_64 SYSCALL=openat '
    'AUID="hana" UID="hana"'
)
CONFIG = (
    "type=CONFIG_CHANGE msg=audit(1795879750.064:217): auid=%s ses=3 subj=unconfined op=remove_rule "
    'key="kijun-denied" list=4 res=1 AUID="unset"'
)
OFF = "type=CONFIG_CHANGE msg=audit(1795879748.936:216): op=set audit_enabled=0 old=1 auid=1001 ses=3 res=1"
BY_AUDITD = {"kind": "audit", "tag": "audisp-syslog", "comm": "audisp-syslog", "unit": "auditd.service"}
NOBODY = "4294967295"
SYSTEMD = "/usr/lib/systemd/systemd-executor"
AUDITED = {
    "rights-changed": (
        [AUDIT % ("yes", "3", "1001", "/usr/bin/vim.basic", "kijun-rights")],
        [AUDIT % ("no", "-13", "1001", "/usr/bin/vim.basic", "kijun-rights")],
    ),
    "permissions-changed": (
        [AUDIT % ("yes", "0", "1001", "/usr/bin/chmod", "kijun-permissions")],
        [AUDIT % ("yes", "0", "1001", SYSTEMD, "kijun-permissions")],
    ),
    "beyond-rights": (
        [AUDIT % ("no", "-13", "1001", "/usr/bin/cat", "kijun-denied")] * 5,
        [AUDIT % ("no", "-13", "1001", "/usr/bin/cat", "kijun-denied")] * 4
        + [AUDIT % ("no", "-13", "1001", SYSTEMD, "kijun-denied")] * 9,
    ),
    "audit-changed": (
        [CONFIG % "1001", OFF, AUDIT % ("yes", "3", "1001", "/usr/bin/vim.basic", "kijun-audit")],
        [CONFIG % NOBODY, AUDIT % ("yes", "0", "1001", "/usr/sbin/auditctl", "kijun-audit")],
    ),
    "clock-or-kernel-changed": (
        [AUDIT % ("yes", "0", "1001", "/usr/bin/date", "kijun-time")],
        [AUDIT % ("no", "-1", "1001", "/usr/bin/date", "kijun-time")],
    ),
    "medium-used": (
        [AUDIT % ("yes", "0", "1001", "/usr/bin/mount", "kijun-media")],
        [AUDIT % ("yes", "0", "1001", "/usr/bin/mount", "kijun-logon")],
    ),
}


@pytest.mark.parametrize("rule", sorted(AUDITED))
def test_what_the_kernel_recorded_is_found_and_its_neighbour_is_not(store: Store, rule: str) -> None:
    bad, good = AUDITED[rule]
    for message in good:
        store.write("web1", message, **BY_AUDITD)
    for message in bad:
        store.write("web2", message, **{**BY_AUDITD, "unit": "session-1.scope"})
    assert rule not in watched(store)
    for message in bad:
        store.write("web2", message, **BY_AUDITD)
    found = watched(store)[rule]
    assert [finding["group"]["sender"] for finding in found] == ["web2"]
    assert found[0]["count"] == len(bad)


@pytest.mark.parametrize("rule", sorted(REAL))
def test_a_real_message_is_found_and_its_neighbour_is_not(store: Store, rule: str) -> None:
    about, bad, good = REAL[rule]
    store.write("web1", good, **about)
    assert rule not in watched(store)
    store.write("web1", bad, **about)
    found = watched(store)[rule]
    assert [finding["count"] for finding in found] == [1]
    assert json.loads(found[0]["lines"][0].split(" ", 2)[2])["msg"] == bad


@pytest.mark.parametrize("rule", sorted(rule for rule, told in REAL.items() if told[0].get("comm") in ("sudo", "su")))
def test_a_program_that_ended_before_the_journal_looked_is_found(store: Store, rule: str) -> None:
    about, bad, _ = REAL[rule]
    store.write("web1", bad, **{**about, "comm": ""})
    assert len(watched(store)[rule]) == 1


def test_five_failures_within_five_minutes_are_found_and_four_are_not(store: Store) -> None:
    for number in range(4):
        store.failed("web1", "hana", "192.0.2.7", NOON + number * 60)
    for number in range(6):
        store.failed("web1", "jiro", "192.0.2.8", NOON + number * 100)
    assert "authentication-failures-address" not in watched(store)
    store.failed("web1", "hana", "192.0.2.7", NOON + 299)
    found = watched(store)["authentication-failures-address"]
    assert [(f["count"], f["group"], f["addresses"]) for f in found] == [(5, {"address": "192.0.2.7"}, ["192.0.2.7"])]
    assert found[0]["first"] == "2026-11-22T12:00:00Z"
    assert found[0]["last"] == "2026-11-22T12:04:59Z"


def test_pam_names_the_account_that_others_fail_for(store: Store) -> None:
    text = (
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=hana"
    )
    for number in range(5):
        store.write("web1", text, NOON + number)
    assert watched(store)["authentication-failures"][0]["group"] == {"sender": "web1", "user": "hana"}


def test_ten_a_minute_from_several_addresses_are_to_be_blocked(store: Store) -> None:
    for number in range(10):
        store.failed("web%d" % (1 + number % 2), "hana", "198.51.100.%d" % (number % 3), NOON + number * 5)
    for number in range(10):
        # All from one address, on one host: that host's own business.
        store.failed("web1", "jiro", "192.0.2.8", NOON + number * 5)
    found = watched(store)
    (finding,) = found["brute-force-account"]
    assert finding["blocks"]
    assert finding["addresses"] == ["198.51.100.0", "198.51.100.1", "198.51.100.2"]
    assert "brute-force-hosts" not in found


def test_nobody_is_blocked_for_what_a_user_of_the_host_writes(store: Store) -> None:
    for number in range(20):
        text = FAILED.format(user="hana", address="198.51.100.%d" % (number % 3))
        store.write("web1", text, NOON + number, uid="1001")
        store.write("web1", text, NOON + number, comm="logger")
    assert watched(store) == {}


def test_bytes_are_summed_up(store: Store) -> None:
    text = '192.0.2.7 - - [22/Nov/2026:12:00:00 +0000] "GET /%s HTTP/1.1" 200 %d "-" "curl"'
    for number in range(99):
        store.write("web1", text % ("a", 1000000), NOON + number / 2, kind="access", tag="nginx")
    assert watched(store) == {}
    store.write("web1", text % ("a", 1000000), NOON + 50, kind="access", tag="nginx")
    (finding,) = watched(store)["bulk-transfer-web"]
    assert finding["count"] == 100
    assert len(finding["lines"]) == findings.LINES


def test_many_small_responses_add_up(store: Store) -> None:
    text = '192.0.2.7 - - [22/Nov/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 50000'
    for number in range(2100):
        store.write("web1", text, NOON + number / 50, kind="access", tag="nginx")
    assert watched(store)["bulk-transfer-web"][0]["count"] >= 101


def test_a_port_scan_is_fifteen_different_ports(store: Store) -> None:
    text = "kijun-drop: IN=eth0 OUT= SRC=198.51.100.9 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=4 DPT=%d WINDOW=1"
    for number in range(30):
        store.write("web1", text % (1000 + number % 14), NOON + number, kind="system", tag="kernel")
    assert watched(store) == {}
    store.write("web1", text % 2000, NOON + 31, kind="system", tag="kernel")
    assert "port-scan" in watched(store)


def test_missing_numbers_are_found_once_they_do_not_come(store: Store) -> None:
    for seq in (1, 2, 3, 7, 8):
        store.write("web1", "hello", seq=seq)
    told: list[Any] = []
    store.watch(told, now=NOON + 30).look()
    assert told == [], "it may still come"
    found = watched(store)["sequence-gap"]
    assert found[0]["lines"] == ["series e1: 3 records are missing, 4 to 6"]


def test_what_comes_twice_or_in_the_journals_book_is_not_missing(store: Store) -> None:
    for seq in (1, 2, 2, 3, 5, 3, 6):
        store.write("web1", "hello", seq=seq)
    store.write("web1", "a change", seq=4, kind="journal", book=".journal")
    assert watched(store) == {}
    store.review()
    assert store.found() == {}


def test_a_series_that_ends_without_saying_so_is_found(store: Store) -> None:
    store.write("web1", "hello", seq=1, epoch="a")
    store.write("web1", "[origin] exiting on signal 15.", seq=2, epoch="a", kind="system", tag="rsyslogd")
    store.write("web1", "hello", seq=1, epoch="b")
    assert "series-cut-off" not in watched(store)
    store.write("web1", "hello", seq=2, epoch="b")
    store.write("web1", "hello", seq=4, epoch="c")
    found = watched(store)
    assert found["series-cut-off"][0]["lines"][0].startswith("series b ended")
    assert found["sequence-gap"][0]["lines"] == ["series c: 3 records are missing, 1 to 3"]


def test_a_silent_host_is_found_and_one_that_speaks_is_not(store: Store) -> None:
    store.write("web1", "hello", NOON)
    told: list[Any] = []
    now = [NOON]
    settings = {**SETTINGS, "silent_minutes": 30}
    watch = Watch(str(store.folder), str(store.state), Rules(RULES), settings, told.append, now=lambda: now[0])
    watch.look()
    store.write("web2", "hello", NOON + 1700)
    now[0] += 1801
    watch.look()
    assert [(finding["rule"], finding["group"]) for finding in told] == [("host-silent", {"sender": "web1"})]


def test_a_host_that_was_never_heard_of_is_silent_too(store: Store) -> None:
    store.write("web1", "hello", NOON)
    told: list[Any] = []
    now = [NOON]
    watch = Watch(str(store.folder), str(store.state), Rules(RULES), SETTINGS, told.append, now=lambda: now[0])
    watch.look()
    now[0] += 1441 * 60
    watch.look()
    assert {finding["group"]["sender"] for finding in told} == {"web1", "web2"}


def test_the_watch_comes_to_the_same_after_it_was_killed_anywhere(store: Store) -> None:
    random.seed(7)
    told: list[Any] = []
    watch = store.watch(told)
    for number in range(400):
        store.failed("web1", "hana", "192.0.2.%d" % random.randrange(3), NOON + number)
        if random.random() < 0.2:
            watch.look()
        if random.random() < 0.05:
            watch.save(NOON + 3600)
        if random.random() < 0.1:
            watch = store.watch(told)
    watch.look()
    by_watch = store.found()
    store.review()
    assert store.found() == by_watch
    assert sum(finding["count"] for finding in by_watch["authentication-failures-address"]) == 400
    ids = [finding["id"] for finding in told]
    assert len(ids) == len(set(ids)), "told once each"


def test_the_watch_reads_the_end_of_yesterday_after_it_was_packed(store: Store) -> None:
    midnight = NOON + 43200
    told: list[Any] = []
    for number in range(3):
        store.failed("web1", "hana", "192.0.2.7", midnight - 10 + number)
    watch = store.watch(told, now=midnight - 5)
    watch.look()
    watch.save(midnight - 5)
    store.failed("web1", "hana", "192.0.2.7", midnight - 1)
    plain = store.folder / "web1" / "2026-11-22.log"
    blocks.compress(str(plain), str(plain) + ".gz")
    plain.unlink()
    store.failed("web1", "hana", "192.0.2.7", midnight + 1)
    store.watch(told, now=midnight + 10).look()
    (finding,) = store.found()["authentication-failures-address"]
    assert (finding["count"], finding["day"]) == (5, "2026-11-23")
    # The review of that day knows of what came just before it.
    (store.state / "findings" / finding["day"] / f"{finding['id']}.json").unlink()
    store.review("2026-11-23")
    assert [f["count"] for f in store.found()["authentication-failures-address"]] == [5]


def test_no_sender_keeps_another_one_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "AT_ONCE", 1000)
    monkeypatch.setattr(watch_module, "SHARE", 500)
    for number in range(200):
        store.write("web1", f"something long {number} " * 5, NOON, kind="system")
    for number in range(5):
        store.failed("web2", "hana", "192.0.2.7", NOON + number)
    told: list[Any] = []
    watch = store.watch(told)
    looks = 0
    while not told and looks < 9:
        watch.look()
        looks += 1
    assert [finding["group"] for finding in told] == [{"address": "192.0.2.7"}]
    assert watch.behind > 0, "the other one is not through"
    while watch.behind:
        watch.look()
    watch.look()
    assert watch.records == 205


def test_after_a_time_without_a_watch_nobody_is_silent_at_once(store: Store) -> None:
    for number in range(3):
        store.write("web1", "hello", NOON + number)
        store.write("web2", "hello", NOON + number)
    now = [NOON + 10]
    told: list[Any] = []

    def watch() -> Watch:
        return Watch(str(store.folder), str(store.state), Rules(RULES), SETTINGS, told.append, now=lambda: now[0])

    first = watch()
    first.look()
    first.save(now[0])
    now[0] += 1500 * 60
    second = watch()
    second.look()
    assert told == []
    now[0] += 1441 * 60
    second.look()
    assert {finding["group"]["sender"] for finding in told} == {"web1", "web2"}


def test_an_unfinished_line_waits(store: Store) -> None:
    for number in range(4):
        store.failed("web1", "hana", "192.0.2.7", NOON + number)
    path = store.folder / "web1" / "2026-11-22.log"
    whole = path.read_bytes()
    store.failed("web1", "hana", "192.0.2.7", NOON + 5)
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[:50])
    told: list[Any] = []
    watch = store.watch(told)
    watch.look()
    assert told == []
    path.write_bytes(whole + last)
    watch.look()
    assert [finding["rule"] for finding in told] == ["authentication-failures-address"]


def test_reviews_count_and_carry_on(store: Store) -> None:
    store.write("web1", "hello", NOON, seq=1)
    store.write("web1", "hello", NOON, seq=2, kind="system")
    (store.folder / "web1" / "2026-11-22.log").open("ab").write(b"no record at all\n")
    about = store.review()
    assert (about["records"], about["kinds"]) == (3, {"": 1, "authentication": 1, "system": 1})
    assert about["senders"]["web1"]["strange"] == 1
    store.write("web1", "hello", NOON + 86400, seq=5)
    store.review("2026-11-23")
    assert store.found()["sequence-gap"][0]["lines"] == ["series e1: 2 records are missing, 3 to 4"]
    review = Review(str(store.folder), str(store.state), Rules(RULES), SETTINGS, lambda _: None)
    assert review.due("2026-11-24") == []
    review.remove_old("2028-01-01")
    assert store.found() == {}
    assert review.due("2026-11-24") == ["2026-11-22", "2026-11-23"]


def test_a_clock_that_is_off_is_found(store: Store) -> None:
    for number in range(30):
        store.write("web1", "MARK", NOON + number, kind="system", tag="mark")
    path = store.folder / "web1" / "2026-11-22.log"
    store.review()
    assert store.found() == {}
    # What the sender says is an hour ahead of what the server does.
    path.write_text(path.read_text("utf-8").replace('"time":"2026-11-22T12', '"time":"2026-11-22T13'), "utf-8")
    store.review()
    assert "3600 s ahead" in store.found()["clock-offset"][0]["lines"][0]


def searched(store: Store, **question: Any) -> list[str]:
    asked = search.Question(**{"start": NOON - 43200, "end": NOON + 43200, **question})
    look = search.Search(str(store.folder), str(store.state), asked)
    return [json.loads(line.split(b" ", 2)[2])["msg"] for line in look.found()]


def filled(store: Store) -> None:
    store.write("web1", "Accepted publickey for hana from 192.0.2.7 port 1 ssh2", NOON)
    store.write("web2", "pam_unix(sshd:session): session opened for user hana(uid=1001) by hana(uid=0)", NOON + 1)
    store.write("web1", "something that a program of hers said", NOON + 2, kind="system", uid="1001")
    store.write("web1", "Accepted publickey for hanako from 192.0.2.7 port 1 ssh2", NOON + 3)
    store.write("web1", "user=hana bought a/b", NOON + 4, kind="application", uid="33")
    store.write("web1", '192.0.2.7 - hana [22/Nov/2026:12:00:00 +0000] "GET /" 200 1', NOON + 5, kind="access", uid="")


EVERYTHING = [
    "Accepted publickey for hana from 192.0.2.7 port 1 ssh2",
    "pam_unix(sshd:session): session opened for user hana(uid=1001) by hana(uid=0)",
    "something that a program of hers said",
    "user=hana bought a/b",
    '192.0.2.7 - hana [22/Nov/2026:12:00:00 +0000] "GET /" 200 1',
]


def test_a_user_is_found_by_the_index(store: Store) -> None:
    filled(store)
    store.review()
    assert searched(store, user="hana") == EVERYTHING
    assert searched(store, user="hana", senders=("web2",)) == EVERYTHING[1:2]
    assert searched(store, user="hana", kinds=("application",), text="a/b") == EVERYTHING[3:4]
    assert searched(store, user="hana", start=NOON + 4.5) == EVERYTHING[4:]
    assert searched(store, user="nobody") == []


def test_without_an_index_a_user_is_found_by_reading(store: Store) -> None:
    filled(store)
    found = searched(store, user="hana")
    assert found == [text for text in EVERYTHING if "hana" in text]
    assert searched(store, text='"GET /"') == EVERYTHING[4:]


def test_evidence_is_whole_and_says_where_it_is_from(store: Store, tmp_path: Path) -> None:
    filled(store)
    store.review()
    plain = store.folder / "web1" / "2026-11-22.log"
    blocks.compress(str(plain), str(plain) + ".gz")
    plain.unlink()
    (tmp_path / "digests").mkdir()
    (tmp_path / "digests" / "2026-11-22.json").write_text("{}", "utf-8")
    question = search.Question(NOON - 43200, NOON + 43200, user="hana")
    target = tmp_path / "evidence.tar"
    manifest = search.Search(str(store.folder), str(store.state), question).export(
        "INC-1", str(target), "suzuki", str(tmp_path / "digests")
    )
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as tar:
        inside = {name: (tar.extractfile(name) or pytest.fail(name)).read() for name in tar.getnames()}
    assert json.loads(inside["manifest.json"]) == manifest
    assert manifest["records"] == 5
    assert inside["digests/2026-11-22.json"] == b"{}"
    for entry in manifest["files"]:  # type: ignore[attr-defined]
        assert hashlib.sha256(inside[entry["file"]]).hexdigest() == entry["sha256"]
    taken = {source["taken_from"]: source["offsets"] for source in manifest["sources"]}  # type: ignore[attr-defined]
    assert list(taken) == ["web1/2026-11-22.log.gz", "web2/2026-11-22.log"]
    assert len(taken["web1/2026-11-22.log.gz"]) == 4
    with pytest.raises(FileExistsError):
        search.Search(str(store.folder), str(store.state), question).export("INC-1", str(target), "suzuki", "/nowhere")


def test_more_users_than_the_index_holds_are_found_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kijun.baseline.plugins.module_utils.logs import index

    monkeypatch.setattr(index, "TERMS", 10)
    for number in range(50):
        store.write("web1", f"Invalid user u{number} from 192.0.2.7 port 1", NOON + number)
        store.write("web1", f"session opened for user u{number}", NOON + number)
    store.review()
    assert len(searched(store, user="u49")) == 2


@given(st.binary(max_size=300))
def test_nothing_that_is_shown_steers_a_terminal(data: bytes) -> None:
    text = shown(data)
    assert text.replace("\t", "").isprintable() or not any(
        ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text.replace("\t", "")
    )
    text.encode("utf-8")


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=80)


@given(TEXTS, TEXTS)
def test_no_text_passes_for_a_part_of_the_record(message: str, tag: str) -> None:
    line = f'{{"tag":{json.dumps(tag)}, "uid":"1001", "msg":{json.dumps(message)}}}'.encode()
    found = Fields(line)
    assert (found.get("msg"), found.get("tag"), found.get("uid")) == (message, tag, "1001")
    assert found.get("comm") is None


@given(st.lists(st.integers(1, 40), min_size=1))
def test_holes_of_a_series_are_those_of_its_numbers(numbers: list[int]) -> None:
    found = series.Series(1)
    for number in numbers:
        found.add(number)
    missing = {n for first, last in found.holes() for n in range(first, last + 1)}
    assert missing == set(range(1, max(numbers))) - set(numbers)


MAIL = {"to": ["a@example.com", "b@example.com"], "from": "kijun@log1", "least": "high", "server": "x", "port": 25}


def test_each_finding_is_mailed_once_and_again_only_when_the_mail_server_was_away(store: Store) -> None:
    sent: list[EmailMessage] = []
    away = [True]

    def send(message: EmailMessage, mail: dict[str, Any]) -> None:
        if away[0]:
            raise ConnectionRefusedError(111, "Connection refused")
        sent.append(message)

    def made() -> alerts.Alerts:
        return alerts.Alerts(str(store.state), "log1.example.com", MAIL, send, now=lambda: NOON)

    for number in range(5):
        store.failed("web1", "hana", "192.0.2.7", NOON + number)
    store.write("web1", "new user: name=newone, UID=1002", tag="useradd", comm="useradd")
    watched(store)
    mailer = made()
    assert mailer.look() == 0
    assert "1 findings could not be told: [Errno 111] Connection refused" in mailer.problem
    away[0] = False
    assert made().look() == 1
    assert made().look() == 0
    (mail,) = sent
    assert mail["To"] == "a@example.com, b@example.com"
    assert "Five failed logins" in mail["Subject"]
    text = mail.get_content()
    assert "192.0.2.7" in text
    assert "account-changed" not in text, "of medium severity"
    assert "Failed password" not in text, "records stay where they are"


GOOD: dict[str, Any] = {
    "id": "a-rule",
    "title": {"en": "a", "ja": "a"},
    "severity": "low",
    "kinds": ["system"],
    "words": ["word"],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "A Rule"}, "id must be small letters"),
        ({"severity": "bad"}, "severity 'bad' must be one of low, medium, high, critical"),
        ({"kinds": ["nonsense"]}, "must be of authentication"),
        ({"words": []}, "words is missing"),
        ({"words": ["ab"]}, "three characters"),
        ({"patterns": ["("]}, "is no regular expression"),
        ({"least": 5}, "what is counted needs seconds"),
        ({"least": 5, "seconds": 9999}, "seconds 9999 must be from 0 to 3600"),
        ({"least": 100000, "seconds": 5}, "least 100000 must be from 1 to 1000"),
        ({"seconds": "5"}, "seconds is '5', and must be a int"),
        ({"colour": "red"}, "colour is not known; known are"),
        ({"then": "block"}, "needs a group named address"),
        ({"then": "explode"}, "must be block"),
        ({"where": {"uid": "0"}}, "lists of values by field"),
        ({"title": {"en": "only"}}, "title needs en and ja"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_the_reason(change: dict[str, Any], words: str) -> None:
    assert not complaints(GOOD)
    with pytest.raises(ValueError, match=r"rule ") as refused:
        Rule({**GOOD, **change})
    assert words in str(refused.value)


def test_two_rules_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules have the id a-rule"):
        Rules([GOOD, GOOD])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-11-22", NOON - 43200), ("2026-11-22T12:00:00Z", NOON), ("2026-11-22T21:00:00+09:00", NOON)],
)
def test_times_on_the_command_line(text: str, seconds: float) -> None:
    assert commands.moment(text) == seconds


def test_a_last_day_is_meant_whole() -> None:
    given_ = commands.arguments_of(["search", "--from", "2026-11-21", "--to", "2026-11-22"])
    question = commands.question_of(given_, NOON)
    assert (question.start, question.end) == (NOON - 43200 - 86400, NOON + 43200)


def test_files_are_read_in_either_form(store: Store) -> None:
    filled(store)
    path = store.folder / "web1" / "2026-11-22.log"
    (file,) = [file for file in day_files(str(store.folder)) if file.sender == "web1"]
    plain = [line.text for line in lines(file, 0, 1 << 40, 100)]
    blocks.compress(str(path), str(path) + ".gz")
    path.unlink()
    assert [line.text for line in lines(file, 0, 1 << 40, 100)] == plain
    assert len(plain) == 5
