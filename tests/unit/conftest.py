# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests of the tree share."""

from __future__ import annotations

import pytest
from kijun_tools import policy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in every run how much of the register is claimed."""
    terminalreporter.section("policy")
    terminalreporter.line(policy.summary())
