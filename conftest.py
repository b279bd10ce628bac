# SPDX-License-Identifier: GPL-3.0-or-later
"""For every pytest run in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Leave a JUnit file where `tools/test` counts them, also when molecule or a test started this run.

    Runs of playbooks in tests do not enter themselves into whatever ledger the developer has; tests about that say so.
    """
    os.environ.setdefault("KIJUN_JOURNAL", "no")
    folder = os.environ.get("KIJUN_JUNIT")
    is_worker = hasattr(config, "workerinput")
    if folder and not is_worker and not config.option.xmlpath:
        config.option.xmlpath = str(Path(folder) / f"{os.getpid()}.xml")
