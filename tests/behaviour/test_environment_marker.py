# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody could take production for something else: at a login, at a prompt, and when a playbook is run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import ANSIBLE_PLAYBOOK
from kijun_lab import identity

from .conftest import ROOT, Machine

Verdicts = Callable[[str], dict[str, str]]

CONVERGE = "molecule/environment_marker/converge.yml"
RED = "\x1b[1;97;41m[PRODUCTION]\x1b[0m "
YELLOW = "\x1b[1;30;43m[STAGING]\x1b[0m "


@pytest.fixture(autouse=True, scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A ledger: no run on production starts without its entry in the operations journal."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIJUN_LEDGER_URL", url)
        patch.setenv("KIJUN_JOURNAL", "yes")
        yield


def command(machine: Machine, playbook: str, *arguments: str) -> list[str]:
    """The command line of a run on the host."""
    return [ANSIBLE_PLAYBOOK, playbook, "--limit", machine.name, *arguments]


def run(machine: Machine, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on the host, where there is no terminal."""
    return machine.playbook(playbook, *arguments, timeout=120)


def apply(machine: Machine, name: str, *arguments: str) -> str:
    """Mark the host as one of an environment; give what was printed."""
    settings = {"environment_marker_name": name, "environment_marker_change": True}
    done = run(machine, CONVERGE, "-e", json.dumps(settings), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def verdicts(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verdicts:
    """Audit the host as one of an environment, and return each control's verdict."""

    def audit(name: str) -> dict[str, str]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path))
        done = machine.playbook("audit", "--tags", "environments", "-e", f"environment_marker_name={name}")
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((tmp_path / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control["verdict"] for control in record["controls"]}

    return audit


@pytest.fixture
def production(machine: Machine) -> None:
    """The host is production's, and whole. Whoever wants it otherwise applies that first."""
    apply(machine, "production")


@pytest.fixture(scope="module", autouse=True)
def as_it_was(machine: Machine, journal: None) -> Iterator[None]:
    """At the end it is the lab's, as the scenario made it."""
    yield
    apply(machine, "lab")


def shell(machine: Machine, terminal: str = "xterm-256color") -> pexpect.spawn:
    """A login by key at a terminal."""
    line = machine.ssh("admin", "-tt", "-i", str(identity.USER_KEY))
    return pexpect.spawn(
        line[0], line[1:], timeout=20, encoding="utf-8", env={"TERM": terminal, "PATH": "/usr/bin:/bin"}
    )


@pytest.mark.control("ENV-01")
def test_host_knows_its_environment_and_another_one_is_refused(machine: Machine, verdicts: Verdicts) -> None:
    apply(machine, "staging")
    assert "name=staging\n" in machine.ok("cat /etc/kijun/environment")
    assert verdicts("staging")["ENV-01"] == "pass"
    assert verdicts("production")["ENV-01"] == "fail"
    for arguments in (["--check"], []):
        done = run(machine, CONVERGE, "-e", "environment_marker_name=production", *arguments)
        assert done.returncode != 0
        printed = " ".join(done.stdout.split())
        assert "this host says that it belongs to staging" in printed
        assert "the inventory calls it production" in printed
    assert "STAGING" in machine.ok("cat /etc/issue /etc/profile.d/kijun-environment.sh"), "something was changed"
    apply(machine, "production")
    assert verdicts("production")["ENV-01"] == "pass"
    machine.ok("sed -i s/production/staging/ /etc/kijun/environment")
    assert verdicts("production")["ENV-01"] == "fail"
    apply(machine, "lab")


@pytest.mark.parametrize("name", ["", "prod", "PRODUCTION"])
def test_an_environment_that_is_none_is_refused(machine: Machine, name: str) -> None:
    done = run(machine, CONVERGE, "-e", f"environment_marker_name={name}")
    assert done.returncode != 0
    printed = " ".join(done.stdout.split())
    assert "it must be one of production, staging, integration, development, lab (clause MR-15-6)" in printed


@pytest.mark.control("ENV-02")
def test_banners_name_the_environment_and_not_the_system(
    machine: Machine, production: None, verdicts: Verdicts
) -> None:
    console = machine.ok("script -qec 'agetty --show-issue' /dev/null")
    assert "*** PRODUCTION ***" in console
    assert "restricted to authorised" in console
    with shell(machine) as session:
        session.expect(r"\[PRODUCTION\].*\$ ")
        shown = session.before
    assert "*** PRODUCTION ***" in shown
    system = machine.ok("cat /etc/issue /etc/issue.net /etc/motd; uname -r; . /etc/os-release; echo $NAME").splitlines()
    kernel, name = system[-2:]
    for text in (console, shown, *system[:-2]):
        assert kernel not in text
        assert name not in text
    assert verdicts("production")["ENV-02"] == "pass"


@pytest.mark.control("ENV-02")
@pytest.mark.parametrize(
    "undo",
    [
        "sed -i s/PRODUCTION/STAGING/ /etc/issue.net",
        r"echo 'Debian GNU/Linux \r' >> /etc/motd",
        r"mkdir -p /etc/issue.d && echo '\S \r' > /etc/issue.d/50-test.issue",
        "chmod 0666 /etc/issue",
        "printf '#!/bin/sh\nuname -a\n' > /etc/update-motd.d/10-uname && chmod 755 /etc/update-motd.d/10-uname",
    ],
)
def test_a_banner_that_was_changed_is_noticed(
    machine: Machine, production: None, verdicts: Verdicts, undo: str
) -> None:
    machine.ok(undo)
    try:
        assert verdicts("production")["ENV-02"] == "fail"
    finally:
        machine.ok("rm -rf /etc/issue.d")


@pytest.mark.control("ENV-03")
def test_every_shell_shows_the_environment(machine: Machine, production: None, verdicts: Verdicts) -> None:
    with shell(machine) as session:
        prompt = re.escape(RED) + r"[^\r\n]*"
        session.expect(prompt + r"admin[^\r\n]*\$ ")  # login shell; ~/.bashrc of Debian sets a prompt of its own
        for line, who in (
            ("bash", "admin"),
            ("sudo -s", "root"),
            ("sudo -i", "root"),
            ("su", "root"),
            ("su -", "root"),
        ):
            session.sendline(line)
            session.expect(prompt + who + r"[^\r\n]*[#$] ")
            assert "PRODUCTION" not in session.after.replace("[PRODUCTION]", "", 1), "twice in one prompt"
        session.sendline("PROMPT_COMMAND='echo mine'")
        session.expect("mine\r\n.*" + prompt)
        session.sendline("sh -l")
        session.expect(r"[\r\n]\[PRODUCTION\] # ")
    with shell(machine, "dumb") as session:
        session.expect(r"[\r\n]\[PRODUCTION\] admin@[^\r\n]*\$ ")
    assert verdicts("production")["ENV-03"] == "pass"
    quiet = machine.ok("sudo -u admin bash -lc 'echo only'; bash -c 'echo this'; sh -lc 'echo too'")
    assert quiet == "only\nthis\ntoo\n", "programs that log in see something"


@pytest.mark.control("ENV-03")
def test_staging_looks_otherwise(machine: Machine, verdicts: Verdicts) -> None:
    apply(machine, "staging")
    with shell(machine) as session:
        session.expect(re.escape(YELLOW) + r"[^\r\n]*\$ ")
    for undo in ("sed -i /kijun_prompt/d /etc/bash.bashrc", "rm /etc/profile.d/kijun-environment.sh"):
        assert verdicts("staging")["ENV-03"] == "pass"
        machine.ok(undo)
        assert verdicts("staging")["ENV-03"] == "fail"
        apply(machine, "staging")
    done = run(
        machine, CONVERGE, "-e", json.dumps({"environment_marker_name": "staging", "environment_marker_colour": "red"})
    )
    assert done.returncode != 0
    assert "environment_marker_colour is 'red'" in " ".join(done.stdout.split()), "red is production's"
    apply(machine, "lab")


def test_a_check_foresees_the_run_and_a_second_run_changes_nothing(machine: Machine) -> None:
    apply(machine, "staging")
    outcomes = [apply(machine, "development", *check) for check in (["--check"], [], ["--check"], [])]
    assert [re.findall(r"changed=(\d+)", text) for text in outcomes] == [["1"], ["1"], ["0"], ["0"]]
    apply(machine, "lab")


def test_dpkg_keeps_what_the_role_wrote(machine: Machine, production: None) -> None:
    machine.ok(
        "DEBIAN_FRONTEND=noninteractive apt-get -y -qq --reinstall install base-files bash >/dev/null 2>&1 </dev/null"
    )
    assert "nothing changed" in apply(machine, "production")


# --- the guard of playbooks

GUARD = {
    "kijun.baseline.environment_guard": {"timeout": 8},
    "run_once": True,
    "tags": "always",
}
CHANGE = {"ansible.builtin.command": {"cmd": "touch /run/kijuntest-changed"}, "become": True, "tags": "always"}
PLAY = {"hosts": "all", "gather_facts": False, "tasks": [GUARD, CHANGE]}
ANSWERS = ("-e", "kijun_change_ticket=CHG-1042", "-e", "kijun_change_confirmed=true")


@pytest.fixture
def guarded(machine: Machine, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Make the command line of a guarded run, with the host in an environment; look whether it changed something."""

    def make(name: str | None, *arguments: str, **variables: Any) -> list[str]:
        machine.run("rm -f /run/kijuntest-changed")
        host = {} if name is None else {"environment_marker_name": name}
        staging = {"environment_marker_name": "staging", "ansible_host": machine.address}
        inventory = {"lab": {"hosts": {machine.name: {**host, **variables}, "kijuntest-staging": staging}}}
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (tmp_path / "play.yml").write_text(json.dumps([PLAY, PLAY]), encoding="utf-8")
        inventories = ("-i", "inventories/lab", "-i", str(tmp_path / "inventory.yml"))
        return command(machine, str(tmp_path / "play.yml"), *inventories, *arguments)

    yield make
    machine.run("rm -f /run/kijuntest-changed")


def was_changed(machine: Machine) -> bool:
    return machine.run("test -e /run/kijuntest-changed").rc == 0


def without_terminal(line: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        line, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "its change ticket is None"),
        (["-e", "kijun_change_confirmed=true"], "its change ticket is None"),
        (["-e", "kijun_change_ticket=later", "-e", "kijun_change_confirmed=true"], "its change ticket is 'later'"),
        (["-e", "kijun_change_ticket=CHG-1042"], "there is no terminal to confirm it on"),
        (["-e", "environment_marker_name=staging"], "environment_marker_name was given with -e"),
    ],
)
def test_production_is_not_changed_without_ticket_and_confirmation(
    machine: Machine, guarded: Callable[..., list[str]], arguments: list[str], message: str
) -> None:
    status, printed = without_terminal(guarded("production", *arguments))
    assert status != 0
    assert message in printed
    assert not was_changed(machine)


def test_an_inventory_cannot_confirm(machine: Machine, guarded: Callable[..., list[str]]) -> None:
    line = guarded("production", kijun_change_ticket="CHG-1042", kijun_change_confirmed=True)
    status, printed = without_terminal(line)
    assert status != 0
    assert "its change ticket is None" in printed
    assert not was_changed(machine)


@pytest.mark.control("ENV-01")
def test_production_is_changed_with_ticket_and_confirmation(
    machine: Machine, guarded: Callable[..., list[str]]
) -> None:
    status, printed = without_terminal(guarded("production", *ANSWERS))
    assert status == 0, printed
    assert "Change CHG-1042" in printed, "the summary does not name the ticket"
    assert was_changed(machine)


def test_a_check_of_production_needs_nothing(machine: Machine, guarded: Callable[..., list[str]]) -> None:
    status, printed = without_terminal(guarded("production", "--check"))
    assert status == 0, printed
    assert not was_changed(machine)


def test_other_environments_need_nothing(machine: Machine, guarded: Callable[..., list[str]]) -> None:
    status, printed = without_terminal(guarded("staging"))
    assert status == 0, printed
    assert was_changed(machine)


def test_production_is_not_changed_together_with_staging(machine: Machine, guarded: Callable[..., list[str]]) -> None:
    status, printed = without_terminal(guarded("production", *ANSWERS, "--limit", f"{machine.name},kijuntest-staging"))
    assert status != 0
    assert "this run has hosts of production, staging" in printed
    assert not was_changed(machine)


def test_a_host_of_no_environment_might_be_production(machine: Machine, guarded: Callable[..., list[str]]) -> None:
    status, printed = without_terminal(guarded("", *ANSWERS))
    assert status != 0
    assert f"environment_marker_name is not set for {machine.name}" in printed
    assert not was_changed(machine)


@pytest.mark.parametrize(("answer", "goes"), [("production", True), ("yes", False), (None, False)])
def test_who_sits_at_a_terminal_is_asked_once(
    machine: Machine, guarded: Callable[..., list[str]], answer: str | None, goes: bool
) -> None:
    line = guarded("production", "-e", "kijun_change_ticket=CHG-1042")
    with pexpect.spawn(line[0], line[1:], cwd=str(ROOT), timeout=30, encoding="utf-8") as terminal:
        terminal.expect(f"Change CHG-1042 on 1 hosts of PRODUCTION: {machine.name}")
        terminal.expect("Type production to go on")
        if answer is not None:
            terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        assert "Type production" not in terminal.before, "asked twice"
        shown = " ".join(terminal.before.split())
    assert (terminal.wait() if terminal.isalive() else terminal.exitstatus) == (0 if goes else 2), shown
    assert was_changed(machine) is goes
    if not goes:
        assert "was not confirmed; nothing was changed" in shown
