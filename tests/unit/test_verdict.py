# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing facts with expectations: each operator, each way to be wrong, and that nothing unread ever passes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import (
    OPERATORS,
    SHOWN,
    Unreadable,
    check,
    judge_control,
    resolve,
    split_path,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
KEYS = st.text(min_size=1, max_size=12).filter(lambda key: "]" not in key)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


def verdict(actual: Any, op: str, value: Any = None, **more: Any) -> str:
    return check({"fact": "fact", "op": op, "value": value, **more}, {"fact": actual})["verdict"]


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("os", ["os"]),
        ("faillock.deny", ["faillock", "deny"]),
        ("files[/etc/shadow].mode", ["files", "/etc/shadow", "mode"]),
        ("packages[libpam-pwquality]", ["packages", "libpam-pwquality"]),
        ("pam[sshd].auth.options[pam_unix.so]", ["pam", "sshd", "auth", "options", "pam_unix.so"]),
        ("a[b][c].d", ["a", "b", "c", "d"]),
    ],
)
def test_a_path_is_split_into_its_segments(path: str, segments: list[str]) -> None:
    assert split_path(path) == segments


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "[a]",
        "a[b",
        "a]b",
        "a[]",
        "a b",
        "a.[b]",
        "a[b].",
        "a[b]c",
        "a\n",
        "a.b\n",
        "a[b]\n",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="fact path"):
        split_path(path)


@given(NAMES, st.lists(st.tuples(st.booleans(), NAMES, KEYS), max_size=4))
def test_a_path_made_of_segments_is_split_into_them_again(first: str, more: list[tuple[bool, str, str]]) -> None:
    path = first + "".join(f"[{key}]" if bracketed else f".{name}" for bracketed, name, key in more)
    assert split_path(path) == [first, *(key if bracketed else name for bracketed, name, key in more)]


def test_a_path_is_followed_to_its_value() -> None:
    assert resolve({"files": {"/etc/shadow": {"mode": "0640"}}}, ["files", "/etc/shadow", "mode"]) == "0640"
    assert resolve({"a": {"b": None}}, ["a", "b"]) is None


def test_what_is_not_in_the_tree_is_unreadable() -> None:
    found = resolve({"a": {"b": 1}}, ["a", "c"])
    assert isinstance(found, Unreadable)
    assert found.why == "there is no fact 'c' in a"
    beyond = resolve({"a": 1}, ["a", "b", "c"])
    assert isinstance(beyond, Unreadable)


def test_an_unreadable_part_makes_all_below_it_unreadable() -> None:
    broken = Unreadable("it broke")
    assert resolve({"a": {"b": broken}}, ["a", "b", "c", "d"]) is broken


@pytest.mark.parametrize(
    ("actual", "op", "value"),
    [
        (10, "==", 10),
        ([1], "==", [1]),
        (None, "==", None),
        (3, "!=", 10),
        (None, "!=", "x"),
        (1, "<", 2),
        (2, "<=", 2),
        (0.25, "<=", 0.5),
        (3, ">", 2),
        (2, ">=", 2),
        ("a", "in", ["a", "b"]),
        (None, "in", ["no", None]),
        ("c", "not in", ["a", "b"]),
        (["a", "b"], "contains", "a"),
        ("abc", "contains", "b"),
        (["a"], "excludes", "b"),
        ("abc", "excludes", "x"),
        ("abc", "matches", "^a.c$"),
        (["a"], "subset", ["a", "b"]),
        ([], "subset", []),
        (["a", "b"], "superset", ["a"]),
        (None, "empty", None),
        ([], "empty", None),
        ({}, "empty", None),
        ("", "empty", None),
        (["a"], "not empty", None),
        (0, "not empty", None),
        (True, "not empty", None),
    ],
)
def test_what_holds_passes(actual: Any, op: str, value: Any) -> None:
    assert verdict(actual, op, value) == "pass"


@pytest.mark.parametrize(
    ("actual", "op", "value"),
    [
        (3, "==", 10),
        ("10", "==", 10),
        (10, "!=", 10),
        (2, "<", 2),
        (91, "<=", 90),
        (2, ">", 2),
        (1, ">=", 2),
        ("c", "in", ["a", "b"]),
        ("a", "not in", ["a"]),
        (["a"], "contains", "b"),
        (["a"], "excludes", "a"),
        ("abc", "matches", "^b"),
        (5, "matches", "5"),
        (None, "matches", ""),
        (["a", "c"], "subset", ["a", "b"]),
        (["a"], "superset", ["a", "b"]),
        (["a"], "empty", None),
        (True, "empty", None),
        (0, "empty", None),
        (None, "not empty", None),
        ([], "not empty", None),
    ],
)
def test_what_does_not_hold_fails(actual: Any, op: str, value: Any) -> None:
    assert verdict(actual, op, value) == "fail"


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "contains", "superset"])
def test_what_is_not_set_fails_where_something_is_asked_of_it(op: str) -> None:
    assert verdict(None, op, [1] if op == "superset" else 1) == "fail"


@pytest.mark.parametrize(
    ("actual", "op", "value"),
    [
        ("10", "<=", 90),
        (True, "<=", 90),
        (10, "<=", "90"),
        (10, "<=", None),
        (1, "in", "123"),
        (1, "not in", None),
        (5, "contains", 5),
        ("abc", "contains", 5),
        (None, "excludes", 5),
        ("abc", "matches", 5),
        ("abc", "matches", "("),
        (5, "subset", [5]),
        (["a"], "superset", "a"),
    ],
)
def test_what_cannot_be_compared_is_an_error_that_says_so(actual: Any, op: str, value: Any) -> None:
    found = check({"fact": "fact", "op": op, "value": value}, {"fact": actual})
    assert found["verdict"] == "error"
    assert found["detail"].startswith("cannot compare: ")
    assert found["actual"] == actual


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("each", [False, True])
def test_what_cannot_be_read_never_passes(op: str, each: bool) -> None:
    expectation = {"fact": "fact", "op": op, "value": [None], "each": each, "except": ["a"]}
    found = check(expectation, {"fact": Unreadable("Permission denied")})
    assert (found["verdict"], found["detail"], found["actual"]) == ("error", "Permission denied", None)


@given(st.sampled_from(list(OPERATORS)), VALUES, VALUES, st.booleans(), st.none() | st.lists(SCALARS) | SCALARS)
def test_whatever_the_types_a_check_gives_a_verdict(
    op: str, actual: Any, value: Any, each: bool, left_out: Any
) -> None:
    found = check({"fact": "fact", "op": op, "value": value, "each": each, "except": left_out}, {"fact": actual})
    assert found["verdict"] in ("pass", "fail", "error")
    assert (found["verdict"] == "error") == (found["detail"] or "").startswith("cannot compare")


@given(st.sampled_from(list(OPERATORS)), VALUES, st.lists(NAMES, min_size=1, max_size=4))
def test_nothing_below_what_cannot_be_read_passes(op: str, value: Any, segments: list[str]) -> None:
    found = check({"fact": ".".join(segments), "op": op, "value": value}, {segments[0]: Unreadable("no")})
    assert found["verdict"] == "error"


def test_each_asks_every_member_and_shows_those_that_fail() -> None:
    ages = {"one": 90, "two": 91, "three": None}
    found = check({"fact": "ages", "op": "<=", "value": 90, "each": True}, {"ages": ages})
    assert found["verdict"] == "fail"
    assert found["op"] == "each <="
    assert found["actual"] == {"two": 91, "three": None}
    assert found["detail"] == "2 of 3"
    passing = check({"fact": "ages", "op": "<=", "value": 91, "each": True, "except": ["three"]}, {"ages": ages})
    assert (passing["verdict"], passing["detail"]) == ("pass", "all 2")
    assert verdict([1, 2, 3], "in", [1, 2], each=True) == "fail"


def test_exceptions_are_names_not_parts_of_a_text() -> None:
    assert verdict({"break": None}, "<=", 90, each=True, **{"except": "breakglass"}) == "error"
    assert verdict({"break": None}, "<=", 90, each=True, **{"except": ["breakglass"]}) == "fail"


def test_each_of_something_that_has_no_members_is_an_error() -> None:
    assert verdict("text", "==", "t", each=True) == "error"
    assert verdict(None, "<=", 90, each=True) == "error"


def test_long_values_are_shortened_in_the_record_and_not_in_the_comparison() -> None:
    members = list(range(SHOWN + 5))
    found = check({"fact": "fact", "op": "contains", "value": SHOWN + 4}, {"fact": members})
    assert found["verdict"] == "pass"
    assert found["actual"] == [*range(SHOWN), "... and 5 more"]
    mapping = {str(number): number for number in members}
    shown = check({"fact": "fact", "op": "empty"}, {"fact": mapping})["actual"]
    assert len(shown) == SHOWN + 1
    assert shown["..."] == "and 5 more"
    assert len(check({"fact": "fact", "op": "empty"}, {"fact": "x" * 900})["actual"]) == 503


GOOD = {"fact": "a", "op": "==", "value": 1}
WRONG = {"fact": "a", "op": "==", "value": 2}
BROKEN = {"fact": "b", "op": "==", "value": 1}
FACTS = {"a": 1, "b": Unreadable("gone")}


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        ([GOOD], "pass"),
        ([GOOD, WRONG], "fail"),
        ([GOOD, BROKEN], "error"),
        ([BROKEN, WRONG], "fail"),
        ([], "not_applicable"),
    ],
)
def test_a_control_is_as_bad_as_its_worst_check(expect: list[dict[str, Any]], expected: str) -> None:
    judged = judge_control({"id": "X-1", "expect": expect}, FACTS)
    assert judged["verdict"] == expected
    assert len(judged["checks"]) == len(expect)


def test_a_deviation_fails_the_control_and_is_its_reason() -> None:
    judged = judge_control({"id": "X-1", "expect": [GOOD], "deviation": "no periodic change"}, FACTS)
    assert (judged["verdict"], judged["reason"]) == ("fail", "no periodic change")
    assert judge_control({"id": "X-1", "expect": [GOOD], "deviation": ""}, FACTS)["verdict"] == "pass"


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("op", ["<=", "matches", "contains", "=="])
def test_what_a_sensitive_control_found_is_nowhere_in_its_record(op: str, each: bool) -> None:
    facts = {"a": ["hunter2", {"hunter2": "hunter2"}], "b": Unreadable("/etc/key: hunter2")}
    expect = [{"fact": fact, "op": op, "value": 5, "each": each} for fact in facts]
    judged = judge_control({"id": "X-1", "expect": expect, "sensitive": True}, facts)
    assert "hunter2" not in repr(judged)
    assert judged["checks"][0]["actual"] == "(not shown)"
