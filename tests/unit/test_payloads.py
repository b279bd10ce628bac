# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action sends to a host's own Python holds everything that it imports there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST_SIDE = ROOT / "plugins" / "module_utils"
PLUGINS = "ansible_collections.kijun.baseline.plugins"
SENDERS = sorted(
    f"{file.parent.name}.{file.stem}"
    for folder in ("action", "plugin_utils")
    for file in (ROOT / "plugins" / folder).glob("*.py")
    if "\nSHIPPED" in file.read_text(encoding="utf-8")
)


def imported(file: Path) -> set[Path]:
    """Files of module_utils that one of them imports when it is loaded, or when a function of it is called."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1]
            base = folder / (node.module or "").replace(".", "/")
            candidates = [base.with_suffix(".py"), *(base / f"{alias.name}.py" for alias in node.names)]
            found.update(candidate for candidate in candidates if candidate.is_file())
    return found


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_sent_is_whole(sender: str) -> None:
    patterns = importlib.import_module(f"{PLUGINS}.{sender}").SHIPPED
    sent = {path for pattern in patterns for path in HOST_SIDE.glob(pattern)}
    assert sent
    lacking = {str(path.relative_to(HOST_SIDE)) for file in sent for path in imported(file) - sent}
    assert not lacking
