# SPDX-License-Identifier: GPL-3.0-or-later
"""What another run is told by the one that starts it."""

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import is_trusted_as_template, trust_as_template
from ansible_collections.kijun.baseline.plugins.plugin_utils.child_run import as_variables


def told(given: dict[str, Any]) -> Any:
    """What a run reads of it."""
    return DataLoader().load(trust_as_template(as_variables(given)))


def test_what_is_text_stays_text_and_what_is_a_template_stays_one() -> None:
    template, answer = trust_as_template("{{ inventory_hostname }}"), "{{ lookup('pipe', 'id') }}"
    found = told({"a": template, "b": answer, "c": [{"d": template, "e": answer}]})
    assert found == {"a": template, "b": answer, "c": [{"d": template, "e": answer}]}
    assert is_trusted_as_template(found["a"])
    assert is_trusted_as_template(found["c"][0]["d"])
    assert isinstance(found["b"], str)
    assert not is_trusted_as_template(found["b"])
    assert not is_trusted_as_template(found["c"][0]["e"])


def test_every_value_comes_as_what_it_is() -> None:
    texts = ["yes", "0", "1.5", "null", "", " a\n b\n", "'\"\\\t", "2026-01-31", "!unsafe x", "あ", "# no", "a: b"]
    given = {"texts": texts, "yes": True, "none": None, "numbers": [1, 1.5], "empty": [{}, []]}
    assert told(given) == given


def test_what_ansible_has_read_is_written_again() -> None:
    source = trust_as_template("{number: 7, part: 0.5, flag: true, none: null, list: [1, {a: b}], date: 2026-01-31}")
    read = DataLoader().load(source)
    assert told(read) == {**read, "date": "2026-01-31"}
