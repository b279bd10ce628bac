# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of a task: a list, or a text that is one."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger_entries import change_of, entries_of

TEXT = """
- id: USB-1
  action: lend
  lent_for: "it's {{ 7 * 7 }} of \\"these\\""
  due_on: 2026-11-30
"""


def test_a_text_is_a_list_and_nothing_of_it_is_evaluated() -> None:
    (entry,) = entries_of(TEXT)
    assert entry["lent_for"] == 'it\'s {{ 7 * 7 }} of "these"'
    assert entries_of([{"id": "USB-1", "due_on": datetime.date(2026, 11, 30)}])[0]["due_on"].day == 30
    assert change_of(1, entry, "id").payload["due_on"] == "2026-11-30"
    assert entries_of("[]") == entries_of([]) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("- id: [", "is a text, and no YAML: while parsing"),
        ("- !!python/object/apply:os.system [id]", "is a text, and no YAML: could not determine a constructor"),
        ("id=USB-1 action=lend", "'id=USB-1 action=lend': must be a list of entries"),
        ("- one\n- two", "must be a list of entries, each with its fields"),
        ({"id": "USB-1"}, "must be a list of entries"),
        (None, "'None': must be a list of entries"),
        ("", "'None': must be a list of entries"),
        (5, "'5': must be a list"),
    ],
)
def test_what_is_no_list_is_refused(value: Any, words: str) -> None:
    with pytest.raises(AnsibleActionFail) as refused:
        entries_of(value)
    assert words in str(refused.value)
