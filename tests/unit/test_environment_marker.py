# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's marker as the audit reads it, and the parts of the guard that ask nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.kijun.baseline.plugins.action.environment_guard import (
    check_ticket,
    environments,
    passed,
    refuse_mixture,
)
from ansible_collections.kijun.baseline.plugins.module_utils.facts.environment import environment
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import within
from ansible_collections.kijun.baseline.plugins.plugin_utils.run_id import run_id

HostWith = Callable[[dict[str, str]], Host]
SYSTEM = 'ID=debian\nNAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


def test_the_marker(host_with: HostWith) -> None:
    host = host_with({"/etc/kijun/environment": "# which\nname=staging\n\ncolour = no\ncolour=yellow\n"})
    found = environment(host, set())
    assert (found["name"], found["colour"]) == ("staging", "yellow")
    assert host.problems == [{"file": "/etc/kijun/environment", "line": 4, "problem": "is not of the form name=value"}]


def test_a_host_without_a_marker_belongs_nowhere(host_with: HostWith) -> None:
    assert environment(host_with({}), set()) == {"name": None, "colour": None, "revealing": []}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/etc/issue", "Welcome\nDebian GNU/Linux 13 \\n \\l\n", ["/etc/issue:2"]),
        ("/etc/issue", "\\n \\l\n", []),
        ("/etc/issue.net", "kernel \\r\n", ["/etc/issue.net:1"]),
        ("/etc/issue.d/50-x.issue", "\\S{PRETTY_NAME}\n", ["/etc/issue.d/50-x.issue:1"]),
        ("/etc/issue.d/notes", "\\S\n", []),
        ("/etc/motd", "a DEBIAN host\n", ["/etc/motd:1"]),
        ("/etc/motd.d/x", "debian1.example.com\n", []),
    ],
)
def test_banners_that_tell_of_the_system(host_with: HostWith, path: str, text: str, expected: list[str]) -> None:
    host = host_with({"/etc/os-release": SYSTEM, path: text})
    assert environment(host, set())["revealing"] == expected


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Keep out.\nReally.\n", True),
        ("関係者以外の利用を禁ずる", True),
        ("\\S", False),
        ("\x1b[2J", False),
        (5, False),
    ],
)
def test_notices(text: object, taken: bool) -> None:
    assert within(text, {"type": "banner", "clause": "X-1"}) is taken


def named(**names: str | None) -> dict[str, dict[str, str]]:
    return {host: {"environment_marker_name": name} if name is not None else {} for host, name in names.items()}


def test_environments_of_hosts() -> None:
    assert environments(["a", "b", "c"], named(a="lab", b="staging", c="lab")) == {"lab", "staging"}


@pytest.mark.parametrize("name", [None, ""])
def test_a_host_without_a_name_is_refused(name: str | None) -> None:
    with pytest.raises(AnsibleActionFail, match="not set for b;"):
        environments(["a", "b"], named(a="lab", b=name))


def test_production_goes_alone() -> None:
    refuse_mixture({"production"})
    refuse_mixture({"staging", "lab"})
    with pytest.raises(AnsibleActionFail, match="hosts of production, staging"):
        refuse_mixture({"staging", "production"})


@pytest.mark.parametrize("ticket", ["", "CHG", "chg-1", "CHG-1 ", "xCHG-1", "CHG-1\n"])
def test_a_ticket_has_its_form(ticket: str) -> None:
    check_ticket("CHG-1", "CHG-[0-9]+")
    with pytest.raises(AnsibleActionFail, match="its change ticket is"):
        check_ticket(ticket, "CHG-[0-9]+")


def test_a_confirmation_is_of_one_run_and_one_ticket() -> None:
    def facts(run: str, ticket: str) -> dict[str, dict[str, dict[str, str]]]:
        return {"ansible_facts": {"kijun_change": {"run": run, "ticket": ticket}}}

    assert passed(facts(run_id(), "CHG-1"), "CHG-1")
    assert not passed(facts(run_id(), "CHG-2"), "CHG-1")
    assert not passed(facts("another", "CHG-1"), "CHG-1")
    assert not passed({}, "CHG-1")
