# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of incidents, and incidents out of what hosts found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils import incidents
from ansible_collections.kijun.baseline.plugins.plugin_utils.incidents import BOOK, changes, incidents_of
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Refused

FIND: dict[str, Any] = {
    "id": "9b1f0c2f6f2f7b0a",
    "at": "2026-11-21T03:00:00Z",
    "host": "somebody-else",
    "path": "/home/suzuki/eicar.com",
    "path_b64": "L2hvbWUvc3V6dWtpL2VpY2FyLmNvbQ==",
    "signature": "Eicar-Test-Signature",
    "sha256": "27" * 32,
    "size": 68,
    "user": "suzuki",
    "uid": 1000,
    "mode": "0644",
    "process": None,
    "pid": None,
    "by": "on_access",
    "action": "quarantined",
    "quarantine": "q1",
}
ID = "pc17-9b1f0c2f6f2f7b0a"
ENDED = {
    "attended": "operator1, the same morning",
    "reach": "it encrypts files; this host alone",
    "cause": "a mail's attachment",
    "measure": "such attachments are refused",
    "outside": False,
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as opened:
        yield opened


def told(*finds: Any) -> str:
    return json.dumps(finds)


def opened(ledger: Ledger) -> Ledger:
    ledger.append(BOOK, changes(incidents_of({"pc17": told(FIND)}, []), {}), "awx")
    return ledger


def step(ledger: Ledger, action: str, actor: str = "kato", **payload: Any) -> dict[str, Any]:
    ledger.append(BOOK, [Change(ID, action, payload)], actor)
    return ledger.states(BOOK)[0].fields


def test_a_find_is_an_incident_of_the_host_that_told_of_it(ledger: Ledger) -> None:
    fields = opened(ledger).states(BOOK)[0].fields
    assert (fields["id"], fields["host"], fields["status"]) == (ID, "pc17", "open")
    assert (fields["user"], fields["process"], fields["found_by"]) == ("suzuki", "", "on_access")
    assert fields["summary"] == "Eicar-Test-Signature in /home/suzuki/eicar.com"
    assert fields["opened_by"] == "awx"
    assert fields["opened_at"]


def test_the_same_find_twice_is_one_incident(ledger: Ledger) -> None:
    problems: list[str] = []
    found = incidents_of({"pc17": told(FIND, FIND)}, problems)
    assert len(found) == 1
    opened(ledger)
    assert changes(found, {state.key: state for state in ledger.states(BOOK)}) == []
    assert problems == []


def test_two_hosts_with_one_name_of_a_find_are_two_incidents() -> None:
    assert len(incidents_of({"pc17": told(FIND), "pc18": told(FIND)}, [])) == 2


def test_an_incident_is_taken_up_contained_and_resolved_by_people_at_times(ledger: Ledger) -> None:
    opened(ledger)
    assert step(ledger, "acknowledge", note="the colleague was called")["acknowledged_by"] == "kato"
    assert step(ledger, "contain", "mori", containment="isolated")["contained_by"] == "mori"
    fields = step(ledger, "resolve", "sato", **ENDED)
    assert (fields["status"], fields["resolved_by"], fields["acknowledged_by"]) == ("resolved", "sato", "kato")
    assert fields["resolved_at"] >= fields["contained_at"] >= fields["acknowledged_at"] >= fields["opened_at"]
    assert ledger.verify(BOOK).ok


def test_a_step_that_was_done_makes_no_event_and_stays_his_who_did_it(ledger: Ledger) -> None:
    opened(ledger)
    step(ledger, "acknowledge", note="called")
    assert ledger.append(BOOK, [Change(ID, "acknowledge", {"note": "called"})], "mori") == []
    assert ledger.states(BOOK)[0].fields["acknowledged_by"] == "kato"


def test_a_host_is_isolated_before_anybody_wrote_a_note(ledger: Ledger) -> None:
    assert step(opened(ledger), "contain", containment="isolated")["status"] == "contained"


def isolated(ledger: Ledger) -> Ledger:
    step(opened(ledger), "contain", "mori", containment="isolated")
    return ledger


def test_a_host_is_let_back_by_another_person_than_who_asks_for_it(ledger: Ledger) -> None:
    step(isolated(ledger), "request_release", "kato", release_reason="scanned, clean")
    fields = step(ledger, "release", "sato", host="pc17", release_note="the scan's result was read")
    assert (fields["release_requested_by"], fields["released_by"]) == ("kato", "sato")
    assert fields["released_at"] >= fields["release_requested_at"] >= fields["contained_at"]
    assert fields["status"] == "contained"
    again = {"host": "pc17", "release_note": "the scan's result was read"}
    assert ledger.append(BOOK, [Change(ID, "release", again)], "mori") == []


@pytest.mark.parametrize("actor", ["kato", "KATO", "\uff4b\uff41\uff54\uff4f"])
def test_who_asks_for_a_release_does_not_release(ledger: Ledger, actor: str) -> None:
    step(isolated(ledger), "request_release", "kato", release_reason="clean")
    with pytest.raises(Refused, match="another person does"):
        step(ledger, "release", actor, host="pc17", release_note="seen")
    assert ledger.states(BOOK)[0].fields["released_at"] == ""


def test_no_host_is_let_back_unasked_or_by_anothers_incident_or_without_having_been_cut_off(ledger: Ledger) -> None:
    opened(ledger)
    with pytest.raises(Refused, match="is for an entry that is contained or resolved"):
        step(ledger, "request_release", "kato", release_reason="clean")
    step(ledger, "contain", "mori", containment="isolated")
    with pytest.raises(Refused, match="nobody has asked for it"):
        step(ledger, "release", "sato", host="pc17", release_note="seen")
    step(ledger, "request_release", "kato", release_reason="clean")
    with pytest.raises(Refused, match="the incident is about pc17"):
        step(ledger, "release", "sato", host="pc18", release_note="seen")
    for missing in ({"host": "pc17"}, {"release_note": "seen"}, {"host": "pc17", "release_note": " "}):
        with pytest.raises(Refused):
            step(ledger, "release", "sato", **missing)


def test_a_host_that_was_let_back_is_cut_off_again_and_needs_two_people_again(ledger: Ledger) -> None:
    step(isolated(ledger), "request_release", "kato", release_reason="clean")
    step(ledger, "release", "sato", host="pc17", release_note="seen")
    fields = step(ledger, "contain", "sato", containment="isolated")
    assert (fields["contained_by"], fields["released_by"], fields["release_requested_by"]) == ("sato", "", "")
    with pytest.raises(Refused, match="nobody has asked for it"):
        step(ledger, "release", "kato", host="pc17", release_note="seen")
    assert ledger.append(BOOK, [Change(ID, "contain", {"containment": "isolated"})], "mori") == []


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("resolve", ENDED),
        ("acknowledge", {}),
        ("acknowledge", {"note": " "}),
        ("contain", {"containment": ""}),
        ("acknowledge", {"note": "x", "acknowledged_by": "somebody"}),
        ("close", {}),
    ],
)
def test_what_skips_a_step_or_says_nothing_is_refused(ledger: Ledger, action: str, payload: dict[str, Any]) -> None:
    opened(ledger)
    with pytest.raises(Refused):
        step(ledger, action, **payload)
    assert ledger.states(BOOK)[0].fields["status"] == "open"


@pytest.mark.parametrize(
    "wrong",
    [
        {"cause": ""},
        {"measure": " "},
        {"outside": None},
        {"outside": True},
        {"outside": True, "reported_to": ""},
        {"attended": " "},
        {"reach": ""},
    ],
)
def test_an_end_without_cause_measure_or_report_is_refused(ledger: Ledger, wrong: dict[str, Any]) -> None:
    opened(ledger)
    step(ledger, "acknowledge", note="called")
    with pytest.raises(Refused):
        step(ledger, "resolve", **{**ENDED, **wrong})
    assert step(ledger, "resolve", **{**ENDED, "outside": True, "reported_to": "the committee"})["outside"] is True


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[", "[" * 100000, told("x"), told({**FIND, "id": "../x"}), told({**FIND, "size": -1}), told({"id": 1})],
    ids=["empty", "object", "cut", "deep", "text", "id", "size", "number"],
)
def test_what_one_host_tells_wrongly_keeps_nothing_of_others_out(text: str) -> None:
    problems: list[str] = []
    found = incidents_of({"broken": text, "pc17": told(FIND)}, problems)
    assert [fields["id"] for fields in found] == [ID]
    assert len(problems) == 1
    assert problems[0].startswith("broken: ")


def test_a_terminal_obeys_nothing_of_a_find_and_long_paths_are_kept(ledger: Ledger) -> None:
    path = "/home/\x1b]0;x\x07\n" + "a" * 4000
    found = incidents_of({"pc17": told({**FIND, "path": path, "signature": "A\nB"})}, [])
    ledger.append(BOOK, changes(found, {}), "awx")
    fields = ledger.states(BOOK)[0].fields
    assert fields["path"].isprintable()
    assert fields["path"].endswith("a" * 4000)
    assert fields["summary"].isprintable()


def test_a_host_floods_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MOST", 3)
    problems: list[str] = []
    found = incidents_of({"pc17": told(*({**FIND, "id": f"{number:016x}"} for number in range(9)))}, problems)
    assert [fields["find"] for fields in found] == [f"{number:016x}" for number in (6, 7, 8)]
    assert problems == ["pc17: of 9 finds the newest 3 were read"]
