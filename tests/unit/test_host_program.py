# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever waits for a host's program says so: a job that prints nothing for long may be ended."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils import host_program


def test_a_program_that_works_for_long_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_program, "QUIET", 0.05)
    said: list[str] = []
    action: Any = SimpleNamespace(
        _play_context=SimpleNamespace(remote_addr="web1"), _display=SimpleNamespace(display=said.append)
    )
    with host_program.heard_of(action, "kijun-change begin"):
        time.sleep(0.3)
    told = len(said)
    assert told >= 2
    assert said[0] == "  | web1: kijun-change begin has worked for 0 s"
    time.sleep(0.15)
    assert len(said) == told, "it is silent when the program has ended"
    with host_program.heard_of(action, "kijun-change status"):
        pass
    assert len(said) == told
