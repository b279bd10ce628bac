# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of controls: filled in once, and once for all hosts that would get the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.filled import Filler, SharingFiller


def test_each_template_is_filled_in_once_and_nothing_else_is_touched() -> None:
    asked: list[str] = []

    def template(text: str) -> str:
        asked.append(text)
        return text.strip("{} ")

    fill = Filler(template)
    written = {
        "id": "A-1",
        "applies": "{{ x }}",
        "list": ["{{ x }}", "{% if y %}", 7, None],
        "expect": [{"value": "{{ z }}"}],
    }
    assert fill.head(written) == {**written, "applies": "x", "list": ["x", "{% if y %}".strip("{} "), 7, None]}
    assert fill(written["expect"]) == [{"value": "z"}]
    assert asked == ["{{ x }}", "{% if y %}", "{{ z }}"]
    assert fill.head("{{ whole }}") == "whole"
    assert fill.head({"expect": "{{ made }}"}) == {"expect": "made"}


class Host:
    """A host that fills templates in, and says which it was asked for."""

    def __init__(self, file: Path, **variables: Any) -> None:
        self.asked: list[str] = []
        self.fill = SharingFiller(self.template, variables, file)

    def template(self, text: str) -> Any:
        self.asked.append(text)
        return {"made of": text, "a list": [1, None, True]}


SAME: Mapping[str, Any] = {
    "a": "{{ b + 1 }}",
    "b": ["{% if c.d %}x{% endif %}"],
    "c": {"d": 1},
    "e": {"x": 1, "y": 2},
    "other": "text",
}


@pytest.mark.parametrize(
    ("text", "changed", "asked"),
    [
        ("{{ a }}", {}, False),
        ("{{ a }}", {"other": "{{ c }}"}, False),
        ("{{ a }}", {"a": "{{ b + 2 }}"}, True),
        ("{{ a }}", {"b": "another"}, True),
        ("{{ a }}", {"c": {"d": 2}}, True),
        ("{{ a }}", {"c": {"d": "1"}}, True),
        ("{{ e }}", {"e": {"y": 2, "x": 1}}, True),
        ("{{ a ~ x }}", {"x": 1}, True),
        ("{{ 'a' in group_names }}", {"group_names": ["a"]}, True),
        ("{{ lookup('env', 'HOME') }}", {}, True),
        ("{{ y }}", {"y": "{{ now() }}"}, True),
        ("{{ hostvars.another.a }}", {}, True),
        ("{{ vars['a'] }}", {}, True),
        ("{{ x }}", {"x": object()}, True),
    ],
)
def test_what_hosts_have_in_common_is_filled_in_once(
    text: str, changed: dict[str, Any], asked: bool, tmp_path: Path
) -> None:
    first, second = Host(tmp_path / "kept", **SAME), None
    expected = first.fill([text])
    first.fill.keep()
    second = Host(tmp_path / "kept", **{**SAME, **changed})
    assert second.fill([text]) == expected
    assert second.asked == ([text] if asked else [])


def test_variables_that_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    host = Host(tmp_path / "kept", a="{{ b }}", b="{{ a }}")
    host.fill("{{ a }}")
    assert host.asked == ["{{ a }}"]


@pytest.mark.parametrize("value", [{1: 2}, (1, 2), {"a": {1, 2}}, object()])
def test_what_a_file_cannot_hold_is_filled_in_for_each_host(value: Any, tmp_path: Path) -> None:
    asked: list[str] = []
    for _ in range(2):
        fill = SharingFiller(lambda text: (asked.append(text), value)[1], {"a": 1}, tmp_path / "kept")
        assert fill("{{ a }}") is value
        fill.keep()
    assert asked == ["{{ a }}"] * 2


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def template(text: str) -> Any:
        raise ValueError(text)

    fill = SharingFiller(template, {"a": 1}, tmp_path / "kept")
    with pytest.raises(ValueError, match="a"):
        fill("{{ a }}")
    fill.keep()
    assert not list(tmp_path.iterdir())
