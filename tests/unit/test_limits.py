# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of variables: what is taken, what is refused, and what the error says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import (
    TYPES,
    NoLimits,
    allowed,
    complaints,
    role_limits,
    within,
)
from hypothesis import given
from hypothesis import strategies as st
from kijun_tools import tree

ATTEMPTS = {"type": "int", "min": 1, "max": 10, "clause": "SM-4.1.5-1-6"}
OFFSET = {"type": "float", "min": 0.001, "max": 60, "clause": "SM-4.8.1-4a"}
PROFILE = {"choices": ["clauses", "nist"], "clause": "SM-4.1.5-1-1"}


@pytest.mark.parametrize("value", [1, 10, "1", "10", "7"])
def test_whole_numbers_within(value: Any) -> None:
    assert within(value, ATTEMPTS)


@pytest.mark.parametrize(
    "value", [0, 11, -1, "0", "11", "ten", "", None, True, False, 5.0, "5.0", "5 ", "5\n", "٥", "1e1", "0x5", [5], {}]
)
def test_what_is_no_whole_number_within(value: Any) -> None:
    assert not within(value, ATTEMPTS)


@pytest.mark.parametrize("value", [0.5, "0.5", ".5", 1, "60", 60.0])
def test_numbers_within(value: Any) -> None:
    assert within(value, OFFSET)


@pytest.mark.parametrize(
    "value", [0, 0.0001, 61, "1e-1", "5.", "x", None, True, float("nan"), float("inf"), "nan", [0.5]]
)
def test_what_is_no_number_within(value: Any) -> None:
    assert not within(value, OFFSET)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("bool", [True, False, "true", "False", "yes", "no"], [None, 1, 0, "on", "", "maybe", []]),
        ("str", ["", "x"], [None, 5, [], True]),
        ("list", [[], [1]], [None, "x", {}, ("a",)]),
        (
            "names",
            [[], ["worker"], ["svc$", "a.b", "_x"], ["time1.example.com", "192.0.2.1", "2001:db8::1"]],
            ["worker", [5], ["a b"], [""], ["a\nb"], ["-x"], ["a;b"], [None], ["a\n"], ["朝"]],
        ),
        (
            "networks",
            [[], ["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.1"]],
            ["192.0.2.0/24", ["192.0.2.1/24"], ["all"], [""], [None], ["192.0.2.0/33"], [["192.0.2.0/24"]]],
        ),
    ],
)
def test_types(kind: str, good: list[Any], bad: list[Any]) -> None:
    limit = {"type": kind, "clause": "X-1"}
    assert [value for value in good if not within(value, limit)] == []
    assert [value for value in bad if within(value, limit)] == []


@pytest.mark.parametrize("nonempty", [True, False])
def test_a_list_may_have_to_hold_something(nonempty: bool) -> None:
    limit = {"type": "names", "nonempty": nonempty, "clause": "X-1"}
    assert within([], limit) is not nonempty
    assert within(["time1"], limit)


@pytest.mark.parametrize(("value", "expected"), [("nist", True), ("NIST", False), (None, False), (["nist"], False)])
def test_choices(value: Any, expected: bool) -> None:
    assert within(value, PROFILE) is expected


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (ATTEMPTS, "a whole number from 1 to 10"),
        (PROFILE, "one of clauses, nist"),
        ({"type": "bool"}, "true or false"),
        ({"type": "names", "nonempty": True}, "a list of names, not empty"),
        ({"type": "networks", "nonempty": False}, "a list of networks such as 192.0.2.0/24"),
    ],
)
def test_what_is_allowed_is_said_in_words(limit: dict[str, Any], words: str) -> None:
    assert allowed(limit) == words


LIMITS = {"role_attempts": ATTEMPTS, "role_profile": PROFILE}


def test_nothing_is_wrong_with_good_values() -> None:
    values = {"role_attempts": 10, "role_profile": "nist"}
    assert complaints("role", LIMITS, values, [*values, "other_x", "__role_x", "role"]) == []


def test_an_error_names_the_variable_its_value_what_is_allowed_and_the_clause() -> None:
    wrong = complaints("role", LIMITS, {"role_attempts": "ten"}, [])
    assert wrong == [
        "role_attempts is 'ten'; it must be a whole number from 1 to 10 (clause SM-4.1.5-1-6)",
        "role_profile is None; it must be one of clauses, nist (clause SM-4.1.5-1-1)",
    ]


@pytest.mark.parametrize("value", [4711, ["a-secret"], {"password": "a-secret"}])
def test_a_secret_that_is_refused_is_not_shown(value: Any) -> None:
    limit = {"type": "str", "nonempty": True, "secret": True, "clause": "GL-2.1-6"}
    (said,) = complaints("role", {"role_token": limit}, {"role_token": value}, [])
    assert said == "role_token is a value that is not shown; it must be a text, not empty (clause GL-2.1-6)"


def test_a_secret_that_is_missing_is_called_empty() -> None:
    limit = {"type": "str", "nonempty": True, "secret": True, "clause": "GL-2.1-6"}
    assert complaints("role", {"role_token": limit}, {"role_token": ""}, [])[0].startswith("role_token is empty; ")


def test_a_misspelt_variable_is_told_with_the_one_that_was_meant() -> None:
    values = {"role_attempts": 10, "role_profile": "nist"}
    wrong = complaints("role", LIMITS, values, ["role_atempts", "role_zzzzzz"])
    assert wrong == [
        "role_atempts is not a variable of role role; did you mean role_attempts?",
        "role_zzzzzz is not a variable of role role",
    ]


@given(
    st.sampled_from(list(TYPES)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
)
def test_any_value_is_within_or_not(kind: str, value: Any) -> None:
    limit = {"type": kind, "clause": "X-1", **({"min": 0, "max": 9} if kind in ("int", "float") else {})}
    assert within(value, limit) in (True, False)
    assert kind != "int" or not within(value, limit) or 0 <= int(value) <= 9


@pytest.mark.parametrize("role", ["sshh", "", "kijun.baseline.ssh"])
def test_a_role_that_is_none_is_told_with_those_that_are(role: str) -> None:
    with pytest.raises(NoLimits, match=r"is no role with limits; known: accounts, .*, ssh, .*, workstation"):
        role_limits(role)


def test_limits_of_a_role_come_with_their_templates() -> None:
    limits = role_limits("time_sync")
    assert limits["time_sync_servers"]["nonempty"] == "{{ not time_sync_server | bool }}"
    assert limits is role_limits("time_sync")


@pytest.mark.parametrize("role", tree.roles(), ids=lambda role: role.name)
def test_every_variable_of_a_role_has_a_limit_and_a_clause(role: tree.Role) -> None:
    limits = role.limits()
    assert set(limits) == {name for name in role.defaults() if not name.startswith("_")} | set(role.options())
    assert [name for name, limit in limits.items() if not limit.get("clause")] == []
    assert [name for name, limit in limits.items() if "choices" not in limit and limit["type"] not in TYPES] == []
    assert [
        name for name, limit in limits.items() if limit.get("type") in ("int", "float") and "max" not in limit
    ] == []
    named_so = re.compile(r"_(password|secret|token|password_hash)$")
    assert [name for name, limit in limits.items() if named_so.search(name) and not limit.get("secret")] == []
