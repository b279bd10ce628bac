# SPDX-License-Identifier: GPL-3.0-or-later
"""chronyd's configuration and state, from what chronyc of Debian 12 (4.3) and 13 (4.6) really prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts.chrony import chrony
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable

HostWith = Callable[[dict[str, str]], Host]

CONF = "/etc/chrony/chrony.conf"
TRACKING = (
    "0AD50029,upstream,2,1795260670.870740369,-0.000010587,-0.000000461,0.000002791,0.000,0.000,0.007,"
    "0.000043603,0.000174195,128.4,Normal\n"
)
UNSYNCHRONISED = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,"
    "Not synchronised\n"
)
SOURCES = "^,*,upstream,1,6,377,12,-0.000012345,-0.000012000,0.000300000\n"
KEYS = {"worst_step", "nts_unauthenticated"}

Reader = Callable[..., dict[str, Any]]


@pytest.fixture
def read(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Read chrony's facts of a host whose programs print what is given; a text of None: the program fails."""

    def facts(
        conf: str = "",
        tracking: str | None = TRACKING,
        sources: str | None = SOURCES,
        authdata: str | None = "",
        journal: str | None = "",
        **files: str,
    ) -> dict[str, Any]:
        host = host_with(
            {CONF: conf, **{f"/etc/chrony/{name.replace('__', '/')}": text for name, text in files.items()}}
        )

        def run(*command: str) -> str:
            printed = (
                journal
                if command[0] == "journalctl"
                else {"tracking": tracking, "sources": sources, "authdata": authdata}[command[-1]]
            )
            if printed is None:
                raise OSError("506 Cannot talk to daemon")
            return printed

        monkeypatch.setattr(host, "run", run)
        return chrony(host, KEYS)

    return facts


def test_a_synchronised_clock(read: Reader) -> None:
    found = read()
    state = {key: found[key] for key in ("running", "synchronised", "reference", "stratum", "offset", "worst_step")}
    assert state == {
        "running": True,
        "synchronised": True,
        "reference": "upstream",
        "stratum": 2,
        "offset": 0.000010587,
        "worst_step": 0.0,
    }


@pytest.mark.parametrize("leap", ["Insert second", "Delete second"])
def test_a_leap_second_ahead_is_no_loss_of_synchronisation(read: Reader, leap: str) -> None:
    assert read(tracking=TRACKING.replace("Normal", leap))["synchronised"] is True


def test_a_clock_that_is_not_synchronised(read: Reader) -> None:
    found = read(tracking=UNSYNCHRONISED)
    assert (found["running"], found["synchronised"], found["reference"]) == (True, False, None)


@pytest.mark.parametrize(
    "sources",
    ["", SOURCES.replace(",377,", ",0,"), SOURCES.replace("^,*,", "^,?,")],
    ids=["none", "silent", "unselected"],
)
def test_a_clock_whose_sources_are_dead_is_not_synchronised(read: Reader, sources: str) -> None:
    found = read(sources=sources)
    assert (found["running"], found["synchronised"], found["reference"]) == (True, False, None)


@pytest.mark.parametrize("tracking", [None, "", "garbage", "a,b,c,d,e,Normal\n"])
def test_a_state_that_cannot_be_read_is_no_state(read: Reader, tracking: str | None) -> None:
    found = read(tracking=tracking)
    assert found["running"] is False
    assert all(isinstance(found[key], Unreadable) for key in ("synchronised", "reference", "stratum", "offset"))


def test_the_largest_step_of_the_day(read: Reader) -> None:
    journal = (
        "System clock wrong by 0.600000 seconds\nSystem clock was stepped by -3600.250000 seconds\n"
        "Selected source 192.0.2.1 (upstream)\n"
    )
    assert read(journal=journal)["worst_step"] == 3600.25
    assert isinstance(read(journal=None)["worst_step"], Unreadable)


AUTHDATA = (
    "upstream,NTS,1,15,256,33,0,0,8,100\n"
    "second,NTS,0,0,0,4294967295,5,0,0,0\n"
    "third,NTS,2,15,256,33,0,0,0,100\n"
    "plain,-,0,0,0,4294967295,0,0,0,0\n"
    "keyed,SK,7,1,128,4294967295,0,0,0,0\n"
)


def test_sources_that_nts_does_not_authenticate(read: Reader) -> None:
    assert read(authdata=AUTHDATA)["nts_unauthenticated"] == ["second", "third"]
    assert read(authdata="")["nts_unauthenticated"] == []


@pytest.mark.parametrize("authdata", [None, "upstream\n", "upstream,NTS,1\n"])
def test_authentication_that_cannot_be_read_is_unreadable(read: Reader, authdata: str | None) -> None:
    assert isinstance(read(authdata=authdata)["nts_unauthenticated"], Unreadable)


def test_what_is_not_asked_for_is_not_run(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with({CONF: ""})
    asked: list[str] = []

    def run(*command: str) -> str:
        asked.append(command[-1])
        return {"tracking": TRACKING, "sources": SOURCES}[command[-1]]

    monkeypatch.setattr(host, "run", run)
    chrony(host, {"synchronised"})
    assert asked == ["tracking", "sources"]


def test_directives(read: Reader) -> None:
    found = read(
        "# a comment\n! another\n; third\n% fourth\n\n"
        "server one.example.com iburst nts\nSERVER\ttwo.example.com   iburst\n"
        "pool  three.example.com\npeer four.example.com nts\n"
        "  cmdport 0\nallow 192.0.2.0/24\nallow\nlogchange 0.5\nrtcsync\nratelimit interval 1\n"
    )
    assert found["configured"] == ["one.example.com", "two.example.com", "three.example.com", "four.example.com"]
    assert found["without_nts"] == ["two.example.com", "three.example.com"]
    assert found["allowed"] == ["192.0.2.0/24", "all"]
    directives = found["directives"]
    assert (directives["cmdport"], directives["logchange"], directives["rtcsync"]) == (0, "0.5", True)
    assert directives["allow"] == ["192.0.2.0/24", True]
    assert directives["port"] is None
    assert directives["server"] == ["one.example.com iburst nts", "two.example.com iburst"]


@pytest.mark.parametrize("line", ["allow", "  allow  ", "allow\tall", "ALLOW 0/0"])
def test_an_open_time_server_is_never_taken_for_a_shut_one(read: Reader, line: str) -> None:
    found = read(line + "\n")
    assert found["directives"]["allow"]
    assert len(found["allowed"]) == 1


def test_included_files_are_read_in_order(read: Reader) -> None:
    found = read(
        "server first\nconfdir /etc/chrony/conf.d /etc/chrony/more.d\nsourcedir /etc/chrony/sources.d\n"
        "include /etc/chrony/extra.*\nserver last\n",
        **{
            "conf.d__20-b.conf": "server b\n",
            "conf.d__10-a.conf": "server a\n",
            "conf.d__30-x.off": "server off\n",
            "more.d__10-a.conf": "server hidden\n",
            "more.d__15-c.conf": "server c\n",
            "sources.d__s.sources": "server s\n",
            "extra.1": "server e1\n",
            "extra.2": "include /etc/chrony/extra.2\nserver e2\n",
        },
    )
    names = found["configured"]
    assert (names[:4], names[4], names[-1]) == (["first", "a", "c", "b"], "s", "last")
    assert names[5] == "e1"
    assert set(names[6:-1]) == {"e2"}, "a file that includes itself ends the reading"


def test_a_glob_may_name_files_of_one_name(read: Reader) -> None:
    found = read("include /etc/chrony/*/x.conf\n", **{"a__x.conf": "server a\n", "b__x.conf": "server b\n"})
    assert found["configured"] == ["a", "b"]


def test_without_a_configuration_there_are_no_sources(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with({})
    monkeypatch.setattr(host, "run", lambda *command: TRACKING)
    found = chrony(host, set())
    assert (found["configured"], found["allowed"], found["directives"]) == ([], [], {})
