# SPDX-License-Identifier: GPL-3.0-or-later
"""The canonical form of events, and the chain of hashes."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Broken
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.event import (
    GENESIS,
    LARGEST,
    Event,
    canonical_json,
    chain_hash,
    timestamp,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def strict(value: Any) -> Any:
    """A value that tells true from 1."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, list) else (type(value).__name__, value)


@given(VALUES)
def test_reading_what_was_written_gives_the_same(value: Any) -> None:
    text = canonical_json(value)
    assert strict(json.loads(text)) == strict(value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(TEXT, st.integers(0, 9), min_size=2))
def test_names_stand_in_the_order_of_utf_16(value: dict[str, int]) -> None:
    names = list(json.loads(canonical_json(value)))
    assert names == sorted(value, key=lambda name: name.encode("utf-16-be"))
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_the_order_is_that_of_rfc_8785_beyond_the_first_plane() -> None:
    """Its own example (section 3.2.3): U+1F600 stands before U+FB33, which a sort by code points turns round."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical_json(dict.fromkeys(names, 1)))) == [
        *("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ("山田 太郎", '"山田 太郎"'),
        ('"\\/\b\f\n\r\t\x1f\x7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f"'),
        ({}, "{}"),
        (LARGEST, "9007199254740991"),
    ],
)
def test_the_form_is_this(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    "value",
    [
        *(1.0, float("nan"), float("inf"), {"a": [1.5]}, LARGEST + 1, -LARGEST - 1),
        *(b"x", (1, 2), {1: "x"}, {None: 1}, datetime.date(2026, 1, 1), {"a": {"b"}}),
        *("\ud800", {"\udfff": 1}, "a\0b", {"a": ["\0"]}, {"a\0": 1}),
    ],
    ids=ascii,
)
def test_what_has_no_single_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="in a ledger"):
        canonical_json(value)


def test_the_hash_is_sha_256_of_the_one_before_and_the_record() -> None:
    first = chain_hash(GENESIS, b"{}")
    assert first.hex() == hashlib.sha256(b"\0" * 32 + b"{}").hexdigest()
    assert chain_hash(first, b"{}") != first


EVENT = Event(1, "accounts", "tanaka", 1, "request", {"uid": None}, "yamada", "", "T-1", "2026-11-21T03:00:00Z")


def test_an_event_comes_back_from_its_record() -> None:
    assert json.loads(EVENT.record()) == EVENT.fields()
    assert Event.from_record(EVENT.record(), EVENT.previous, EVENT.hash) == EVENT


@pytest.mark.parametrize("record", ["", "[]", "1", "{}", '{"sequence":1}', EVENT.record()[:-1] + ',"more":1}'])
def test_what_is_no_record_is_told(record: str) -> None:
    with pytest.raises(Broken, match="no record of an event"):
        Event.from_record(record, GENESIS, GENESIS)


def test_times_are_utc_to_the_second() -> None:
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    assert timestamp(datetime.datetime(2026, 11, 21, 12, 0, 0, 999999, tokyo)) == "2026-11-21T03:00:00Z"
    assert datetime.datetime.fromisoformat(timestamp()).tzinfo == datetime.UTC
