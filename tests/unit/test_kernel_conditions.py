# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls that are asked only of hosts of a kind: ``applies_where``."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.auditor import wanted
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable, judge_control

CONTROL = {
    "id": "K-1",
    "expect": [{"fact": "sysctl[a.b]", "op": "==", "value": 1}],
    "applies_where": [{"fact": "os.container", "op": "empty"}],
}


@pytest.mark.parametrize(
    ("container", "setting", "verdict", "reason"),
    [
        (None, 1, "pass", None),
        (None, 0, "fail", None),
        ("podman", 0, "not_applicable", "asked only where os.container is empty; here it is podman"),
        (Unreadable("no such file"), 1, "error", None),
    ],
)
def test_a_control_is_judged_where_its_conditions_hold(
    container: Any, setting: int, verdict: str, reason: str | None
) -> None:
    judged = judge_control(CONTROL, {"os": {"container": container}, "sysctl": {"a.b": setting}})
    assert (judged["verdict"], judged["reason"]) == (verdict, reason)


def test_what_a_condition_names_is_read_too() -> None:
    assert wanted([CONTROL]) == {"os": {"container"}, "sysctl": {"a.b"}}
