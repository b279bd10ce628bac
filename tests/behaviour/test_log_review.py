# SPDX-License-Identifier: GPL-3.0-or-later
"""Log review on real log servers: what really happens is found, told, brought to the ledger, and found again."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import re
import shlex
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kijun_hosts
import kijun_logs
import pytest
from kijun_hosts import GOOD, Machine, make_person, remove_person
from kijun_lab import identity
from kijun_logs import SERVERS, STORE, all_there, arrived, records, wait_for, write_numbered

STATE = "/var/lib/kijun/log-review"
RULES = "/etc/kijun/log-review/rules.json"
WEB = "/var/log/webserver/access.log"
SITE = "server { listen 127.0.0.1:8099; root /srv/test; access_log %s combined; location /closed { deny all; } }" % WEB


def servers() -> list[Machine]:
    return [kijun_logs.machine(name) for name in SERVERS]


def findings(server: Machine, rule: str, **group: str) -> list[dict[str, Any]]:
    """What a log server found by a rule, of a group."""
    printed = json.loads(server.ok("kijun-logs findings"))
    return [f for f in printed["findings"] if f["rule"] == rule and group.items() <= f["group"].items()]


def found(server: Machine, rule: str, seconds: float = 60, **group: str) -> list[dict[str, Any]]:
    """The same, once there is something."""
    return wait_for(lambda: findings(server, rule, **group), seconds)


def largest(several: list[dict[str, Any]]) -> dict[str, Any]:
    """The one with most records: where the hour changed meanwhile there are two."""
    return max(several, key=lambda finding: finding["count"])


def messages(finding: dict[str, Any]) -> list[str]:
    return [json.loads(line.split(" ", 2)[2])["msg"] for line in finding["lines"]]


Verdicts = Callable[..., dict[str, str]]


@pytest.fixture
def verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verdicts:
    """Audit a log server's controls of log review, and return each one's verdict."""
    return kijun_logs.auditor(tmp_path, monkeypatch, "log_review")


@pytest.fixture(scope="module")
def attacked() -> Iterator[Machine]:
    """A sender on which each kind of event really happened: by the real programs, nothing of it was written by hand."""
    machine = kijun_logs.machine("client12")
    make_person(machine, "hana")
    make_person(machine, "jiro")
    # A web server with a page that is closed, and one that is large.
    machine.ok(
        "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nginx-light curl >/dev/null 2>&1"
    )
    machine.ok(
        "install -d /var/log/webserver /srv/test && truncate -s 30000000 /srv/test/large && touch /srv/test/closed"
    )
    machine.ok(f"echo {shlex.quote(SITE)} >/etc/nginx/sites-enabled/default && systemctl restart nginx")
    try:
        for _ in range(6):
            machine.logs_in("hana", "wrong")
        machine.ok("for n in $(seq 12); do curl -s -o /dev/null http://127.0.0.1:8099/closed; done")
        machine.ok("for n in $(seq 4); do curl -s -o /dev/null http://127.0.0.1:8099/large; done")
        machine.ok("install -d -m 700 ~root/.ssh && cp ~admin/.ssh/authorized_keys ~root/.ssh/kijun-test")
        machine.ok("cat ~root/.ssh/kijun-test >>~root/.ssh/authorized_keys")
        assert machine.logs_in_by_key("root")
        machine.ok("gpasswd -d jiro sudo && rm /etc/sudoers.d/jiro")
        machine.run(f"runuser -u jiro -- sh -c {shlex.quote(f'echo {shlex.quote(GOOD)} | sudo -S id')}")
        machine.run("runuser -u jiro -- sh -c 'echo wrong | su -c id root'")
        machine.ok("useradd newcomer && usermod -aG sudo newcomer && chage -M 90 newcomer && userdel newcomer")
        yield machine
    finally:
        machine.run(
            "rm -f ~root/.ssh/kijun-test; sed -i '/kijun-lab\\|admin@/d' ~root/.ssh/authorized_keys; rm -rf /srv/test"
        )
        machine.run("DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y 'nginx*' >/dev/null 2>&1")
        for name in ("hana", "jiro"):
            remove_person(machine, name)


EVENTS = {
    "authentication-failures": {"user": "hana"},
    "access-failures-web": {"address": "127.0.0.1"},
    "bulk-transfer-web": {"address": "127.0.0.1"},
    "root-logged-in": {},
    "sudo-refused": {"user": "jiro"},
    "account-changed": {"account": "newcomer"},
    "account-regrouped": {"account": "newcomer"},
    "password-changed": {"account": "newcomer"},
    "su-refused": {"user": "jiro"},
}
"""One for each of the seven kinds that the policy names, and two more: rule -> the group that it must be of."""


@pytest.mark.control("LOGR-01", "LOGR-03", "LOGR-04", "LOGR-05")
@pytest.mark.parametrize("rule", EVENTS)
def test_what_really_happened_is_found_on_both_servers(attacked: Machine, rule: str) -> None:
    for server in servers():
        several = found(server, rule, sender="client12", **EVENTS[rule])
        assert several, [records(server, "client12", word)[-9:] for word in EVENTS[rule].values()]
        finding = largest(several)
        assert finding["count"] >= 1
        assert len(finding["lines"]) == min(finding["count"], 20)
        assert all(line.split(" ", 2)[1] == "client12" for line in finding["lines"])


@pytest.mark.control("LOGR-04")
def test_a_refusal_is_found_though_sudo_had_ended_before_the_journal_looked(attacked: Machine) -> None:
    # As on a host with much to do: journald reads a writer's name from /proc, where it is not any more.
    def counted(server: Machine) -> int:
        return sum(finding["count"] for finding in findings(server, "sudo-refused", sender="client12", user="jiro"))

    before = {server.name: counted(server) for server in servers()}
    word = uuid.uuid4().hex
    refused = f"runuser -u jiro -- sh -c {shlex.quote(f'echo {shlex.quote(GOOD)} | sudo -S id {word}')}"
    attacked.run(f"pkill -STOP -x systemd-journal; (sleep 1; pkill -CONT -x systemd-journal) & {refused}; wait")
    for server in servers():
        # Of the administrator's own sudo there is a record with the word as well.
        [record] = wait_for(
            lambda server=server: [
                record for record in records(server, "client12", f"id {word}") if "NOT in sudoers" in record["msg"]
            ]
        )
        assert "comm" not in record, record
        assert wait_for(lambda server=server: counted(server) > before[server.name], 60)


@pytest.mark.control("LOGR-03")
def test_who_fails_four_times_is_not_found(attacked: Machine) -> None:
    for _ in range(4):
        attacked.logs_in("jiro", "wrong")
    word = uuid.uuid4().hex
    attacked.ok(f"logger {word}")
    for server in servers():
        assert arrived(server, "client12", word)
        time.sleep(3)
        assert not findings(server, "authentication-failures", user="jiro")


@pytest.mark.control("LOGR-01")
def test_a_finding_is_told_on_the_other_log_server_within_seconds(attacked: Machine) -> None:
    finding = largest(found(servers()[0], "authentication-failures", sender="client12", user="hana"))
    told = arrived(servers()[1], SERVERS[0], f"kijun-finding id={finding['id']}")
    assert told[0]["severity"] == "crit"
    assert "rule=authentication-failures severity=high sender=client12 user=hana" in told[0]["msg"]
    # From the fifth failure on its way to the alarm.
    fifth = datetime.datetime.fromisoformat(finding["lines"][4].split(" ", 1)[0])
    assert datetime.datetime.fromisoformat(told[0]["time"]) - fifth < datetime.timedelta(seconds=10)


@pytest.mark.control("LOGR-03")
def test_what_users_write_themselves_accuses_nobody(attacked: Machine) -> None:
    text = "Failed password for saburo from 198.51.100.9 port 4711 ssh2"
    word = uuid.uuid4().hex
    script = f"for n in $(seq 12); do logger -t sshd -p auth.info {shlex.quote(text)}; done; logger {word}"
    attacked.ok(f"runuser -u jiro -- sh -c {shlex.quote(script)}")
    for server in servers():
        assert arrived(server, "client12", word)
        time.sleep(3)
        assert not findings(server, "authentication-failures-address", address="198.51.100.9")


@pytest.fixture(scope="module")
def guessed() -> Machine:
    """A sender on which two others guess accounts, ten times in a minute together."""
    target = kijun_logs.machine("client13")
    guess = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes nosuch@{} true"
    line = f"for n in $(seq 6); do {guess.format(target.address)}; done >/dev/null 2>&1; true"
    for name in ("time1", "client12"):
        kijun_logs.machine(name).ok(line)
    return target


def ledger(folder: Path) -> tuple[str, ...]:
    return ("-e", f"kijun_ledger_url=sqlite:///{folder}/ledger.db", "-e", f"log_review_directory={folder}/report")


def playbook(name: str, *arguments: str) -> str:
    """Run a playbook that is not for one host."""
    machine = kijun_logs.machine("server12")
    done = machine.playbook(name, "--limit", "log_servers,senders,localhost", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.control("LOGR-03", "LOGR-02")
def test_addresses_that_guess_come_to_the_ledger_and_to_be_blocked(guessed: Machine, tmp_path: Path) -> None:
    addresses = sorted(kijun_logs.machine(name).address for name in ("time1", "client12"))
    for server in servers():
        finding = largest(found(server, "brute-force-guessing", sender="client13"))
        assert sorted(finding["addresses"]) == addresses
        assert finding["severity"] == "critical"
    playbook("ledger_migrate", *ledger(tmp_path))
    printed = playbook("log_review", *ledger(tmp_path))
    for address in addresses:
        assert re.search(rf"^ +{re.escape(address)}: [0-9]+$", printed, re.MULTILINE), printed
    # Hosts of this scenario have no packet filter of ours, and are left alone. Its own scenario has addresses blocked.
    page = (tmp_path / "report" / "log_findings.html").read_text("utf-8")
    assert finding["id"] in page
    assert (tmp_path / "report" / "log_findings.xlsx").stat().st_size > 0
    # Again: nothing new, and what somebody looked into is not open any more.
    said = [{"id": finding["id"], "action": "acknowledge", "note": "a test of the lab", "acknowledged_by": "suzuki"}]
    playbook("log_findings", *ledger(tmp_path), "-e", json.dumps({"log_finding_entries": said}))
    printed = playbook("log_review", *ledger(tmp_path))
    assert finding["id"] not in printed
    shown = subprocess.run(
        [
            "tools/kijun-ledger",
            "show",
            "--url",
            f"sqlite:///{tmp_path}/ledger.db",
            "--book",
            "log_findings",
            finding["id"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a test of the lab" in shown.stdout, shown.stdout + shown.stderr


@pytest.fixture(scope="module")
def mail_server() -> Iterator[Machine]:
    """A real mail server, which takes mail for root from the log servers."""
    machine = kijun_logs.machine("time1")
    with kijun_hosts.mail_server(machine, "time1"):
        yield machine


@pytest.mark.control("LOGR-07")
def test_people_are_told_by_mail_and_what_waits_is_told_later(
    attacked: Machine, mail_server: Machine, verdicts: Verdicts
) -> None:
    server = kijun_logs.machine("server12")
    assert verdicts(server)["LOGR-07"] == "fail", "nobody is named yet"
    mail_server.ok("systemctl stop postfix")
    where = {"log_review_mail_to": ["root@time1"], "log_review_mail_server": mail_server.address}
    where |= {"log_review_mail_from": "kijun@server12"}
    done = kijun_logs.converge("server12", "-e", json.dumps(where))
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        finding = largest(found(server, "sudo-refused", sender="client12", user="jiro"))
        assert wait_for(lambda: "Connection refused" in server.ok(f"cat {STATE}/alerts.json"), 20)
        assert verdicts(server)["LOGR-07"] == "fail", "it could not be told"
        mail_server.ok("systemctl start postfix")
        assert wait_for(lambda: finding["id"] in mails(mail_server), 60)
        assert verdicts(server)["LOGR-07"] == "pass"
        # What is new is told within seconds, and nothing twice.
        before = mails(mail_server)
        attacked.run("runuser -u hana -- sh -c 'for n in 1 2 3; do echo wrong | sudo -kS id; done'")
        attacked.ok("useradd again && userdel again")
        assert verdicts(server)["LOGR-07"] == "pass"
        assert mails(mail_server).count(finding["id"]) == before.count(finding["id"]) == 1
        assert "NOT in sudoers" not in before, "records stay on the log server"
        server.ok("systemctl stop kijun-log-alert")
        assert verdicts(server)["LOGR-07"] == "fail"
    finally:
        assert kijun_logs.converge("server12").returncode == 0
    assert server.run("systemctl is-active kijun-log-alert").stdout.strip() == "inactive"


def mails(machine: Machine) -> str:
    """The text of all mails that root got."""
    read = (
        "import mailbox; print('\\n'.join(m.get_payload(decode=True).decode() for m in mailbox.mbox('/var/mail/root')))"
    )
    return machine.python(read)


@pytest.mark.control("LOGR-06")
def test_a_host_that_falls_silent_is_found_and_the_audit_says_so(verdicts: Verdicts) -> None:
    server, silent = kijun_logs.machine("server13"), kijun_logs.machine("time1")
    assert verdicts(server)["LOGR-06"] == "pass"
    server.ok(
        f'sed -i.kept \'s/"silent_minutes": [0-9]*/"silent_minutes": 1/\' {RULES} && systemctl restart kijun-log-watch'
    )
    silent.ok("systemctl stop syslog.socket rsyslog.service")
    try:
        status = f"cat {STATE}/watch-status.json"
        assert wait_for(lambda: "time1" in json.loads(server.ok(status))["silent"], 100)
        # It may have had nothing to say for a minute before as well.
        assert "no record from" in found(server, "host-silent", sender="time1")[-1]["lines"][0]
        assert verdicts(server)["LOGR-06"] == "fail"
    finally:
        silent.ok("systemctl start syslog.socket rsyslog.service")
        server.ok(f"mv {RULES}.kept {RULES} && systemctl restart kijun-log-watch")


@pytest.mark.control("LOGR-01")
def test_a_watch_that_is_killed_counts_each_record_once(attacked: Machine) -> None:
    server = servers()[0]
    word = "k" + uuid.uuid4().hex[:10]
    line = f'198.51.100.77 - - [22/Nov/2026:12:00:00 +0000] "GET /{word} HTTP/1.1" 403 1'
    source = f"import time\nfor n in range(300):\n    open({WEB!r}, 'a').write({line!r} + chr(10)); time.sleep(0.03)\n"
    write = subprocess.Popen(
        [*attacked.ssh("admin", "-i", str(identity.USER_KEY)), f"sudo python3 -c {shlex.quote(source)}"],
        stdin=subprocess.DEVNULL,
    )
    for _ in range(5):
        time.sleep(2)
        server.ok("systemctl kill --signal=KILL kijun-log-watch.service")
        wait_for(lambda: server.run("systemctl is-active kijun-log-watch").stdout.strip() == "active", 20)
    assert write.wait(60) == 0
    wait_for(
        lambda: sum(f["count"] for f in findings(server, "access-failures-web", address="198.51.100.77")) == 300, 60
    )
    assert sum(f["count"] for f in findings(server, "access-failures-web", address="198.51.100.77")) == 300


@pytest.fixture(scope="module")
def yesterday(attacked: Machine) -> Iterator[str]:
    """A day that is over: on the first server, the records of today once more, as if they had come a day before."""
    server = servers()[0]
    assert found(server, "su-refused", sender="client12", user="jiro")
    today = server.ok("date -u +%F").strip()
    day = (datetime.date.fromisoformat(today) - datetime.timedelta(days=1)).isoformat()
    folder = f"{STORE}/client12"
    server.ok(
        f"cd {folder} && sed 's/{today}T/{day}T/g' {today}.log >{day}.log && chown kijun-log:kijun-logs {day}.log"
    )
    server.ok(
        f"touch -d '-1 hour' {folder}/{day}.log; systemctl start kijun-log-review.service",
    )
    try:
        yield day
    finally:
        server.run(f"rm -rf {STATE}/findings/{day} {STATE}/index/{day}* {STATE}/reviews/{day}*")
        server.run(f"chattr -i {folder}/{day}*; rm -f {folder}/{day}*")


@pytest.mark.control("LOGR-02")
def test_a_day_that_is_over_is_reviewed_and_comes_to_the_same(yesterday: str, attacked: Machine) -> None:
    server = servers()[0]
    printed = json.loads(server.ok("kijun-logs findings"))
    (review,) = [review for review in printed["reviews"] if review["day"] == yesterday]
    assert review["records"] > 100
    of_day = {
        f["rule"]: f for f in printed["findings"] if f["day"] == yesterday and f["group"].get("sender") == "client12"
    }
    assert EVENTS.keys() <= of_day.keys()
    (today,) = findings(
        server,
        "su-refused",
        sender="client12",
        user="jiro",
    )[-1:]
    assert messages(of_day["su-refused"]) == messages(today)


@pytest.mark.control("LOGR-02")
def test_a_user_is_found_again_and_evidence_is_taken(yesterday: str, tmp_path: Path) -> None:
    server = servers()[0]
    lines = server.ok(f"kijun-logs search --raw --user jiro --from {yesterday} --to {yesterday}").splitlines()
    said = [json.loads(line.split(" ", 2)[2])["msg"] for line in lines]
    assert any("user NOT in sudoers" in text for text in said)
    assert any(text.startswith("FAILED SU (to root) jiro") for text in said)
    assert not any("hana" in text and "jiro" not in text and "uid" not in text for text in said)
    where = ("-e", f"evidence_directory={tmp_path}", "-e", "kijun_actor=suzuki")
    asked = (
        "-e",
        "case=INC-2026-007",
        "-e",
        "log_user=jiro",
        "-e",
        f"log_from={yesterday}",
        "-e",
        f"log_to={yesterday}",
    )
    done = server.playbook("evidence_export", *where, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(tmp_path / "INC-2026-007" / "server12.tar") as tar:
        inside = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    manifest = json.loads(inside["manifest.json"])
    assert (manifest["case"], manifest["taken_by"], manifest["records"]) == ("INC-2026-007", "suzuki", len(lines))
    for entry in manifest["files"]:
        assert hashlib.sha256(inside[entry["file"]]).hexdigest() == entry["sha256"]
    assert sorted(
        line for name in inside if name.startswith("records/") for line in inside[name].decode().splitlines()
    ) == sorted(lines)
    assert server.run("ls /var/lib/kijun/evidence*").rc != 0, "nothing is left there"
    done = server.playbook("log_search", *asked[2:])
    assert "user NOT in sudoers" in done.stdout
    done = server.playbook("evidence_export", "-e", "case=INC-2026-008")
    assert done.returncode != 0
    assert "at least one of log_user" in done.stdout


@pytest.mark.control("LOGR-02")
def test_readers_search_and_others_do_not(attacked: Machine) -> None:
    server = servers()[0]
    server.ok("useradd -m reader && usermod -aG kijun-logs reader && useradd -m stranger")
    try:
        assert server.run("runuser -u reader -- kijun-logs search --host client12 --text 'FAILED SU'").rc == 0
        refused = server.run("runuser -u stranger -- kijun-logs search --host client12 --text 'FAILED SU'")
        assert refused.rc == 1
        assert "Permission denied" in refused.stderr
    finally:
        server.run("userdel -r reader; userdel -r stranger")


def test_what_is_shown_does_not_steer_the_terminal(attacked: Machine) -> None:
    word = "w" + uuid.uuid4().hex
    data = base64.b64encode(b"\x1b[2J" + word.encode() + b" \xff\xfe \xc2\x9b31m\n").decode()
    attacked.ok(f"echo {data} | base64 -d >>{WEB}")
    assert arrived(servers()[0], "client12", word)
    shown = server_output(servers()[0], word)
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert word in shown


def server_output(server: Machine, word: str) -> str:
    return server.ok(f"kijun-logs search --text {word}")


@pytest.mark.control("LOGR-01", "LOGR-02", "LOGR-03", "LOGR-04", "LOGR-05")
def test_the_audit_notices_what_is_undone(verdicts: Verdicts) -> None:
    server = kijun_logs.machine("server13")
    good = {f"LOGR-0{number}": "pass" for number in range(1, 6)}
    assert good.items() <= verdicts(server).items()
    server.ok("systemctl disable --now -q kijun-log-watch.service kijun-log-review.timer")
    empty = f"import json; p = {RULES!r}; d = json.load(open(p)); d['rules'] = []; json.dump(d, open(p, 'w'))"
    server.python(empty)
    try:
        assert verdicts(server).items() >= {f"LOGR-0{number}": "fail" for number in range(1, 6)}.items()
    finally:
        done = kijun_logs.converge("server13")
        assert done.returncode == 0, done.stdout + done.stderr
    with contextlib.suppress(AssertionError):
        wait_for(lambda: good.items() <= verdicts(server).items(), 30)
    assert good.items() <= verdicts(server).items()


def test_a_rule_that_is_wrong_is_refused_before_anything_changes() -> None:
    rule = {
        "id": "own",
        "title": {"en": "a", "ja": "a"},
        "severity": "low",
        "kinds": ["system"],
        "words": ["word"],
        "patterns": ["("],
    }
    done = kijun_logs.converge("server12", "-e", json.dumps({"log_review_own_rules": [rule]}))
    assert done.returncode != 0
    assert "log_review_own_rules is wrong: rule own: '(' is no regular expression" in done.stdout
    assert "changed=0" in done.stdout.split("PLAY RECAP")[1]


def test_a_rule_of_the_organisation_s_own_is_watched_for(attacked: Machine) -> None:
    rule = {
        "id": "payroll-opened",
        "title": {"en": "The payroll was opened", "ja": "給与データ参照"},
        "severity": "high",
        "kinds": ["application"],
        "words": ["payroll"],
        "patterns": [r"opened payroll by (?P<user>\S+)"],
        "by": ["sender", "user"],
    }
    done = kijun_logs.converge("server12", "-e", json.dumps({"log_review_own_rules": [rule]}))
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        attacked.ok(
            "install -d /var/log/application && echo 'opened payroll by saburo' >>/var/log/application/shop.log"
        )
        assert found(servers()[0], "payroll-opened", user="saburo")
    finally:
        assert kijun_logs.converge("server12").returncode == 0


def test_the_watch_keeps_up(attacked: Machine) -> None:
    """Twenty thousand records at once: none of them makes it fall behind for long."""
    server = servers()[0]
    write_numbered(attacked, "/var/log/application/numbers.log", 20000, "keepup")
    assert len(all_there(server, "client12", "keepup", 20000)) >= 20000
    time.sleep(12)
    status = json.loads(server.ok(f"cat {STATE}/watch-status.json"))
    assert status["behind"] == 0
