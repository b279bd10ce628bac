# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a run leaves on the controller for people, so that its end can bring them to the report store.

Tasks work in processes that the run forks; what these note, its callback reads in the run's own temporary directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from ansible import constants as C

NAME = "kijun-kept-files"


def note(paths: Iterable[str | Path]) -> None:
    """Say that this run left files, or directories of audits.

    Args:
        paths: of what is whole by now.
    """
    lines = "".join(json.dumps(os.path.abspath(path)) + "\n" for path in paths)
    # One write at the end of a file is not mixed with others.
    descriptor = os.open(_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, lines.encode())
    finally:
        os.close(descriptor)


def noted() -> list[Path]:
    """What this run left, in the order in which it was noted, each once; without what has gone since."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    paths = dict.fromkeys(Path(json.loads(line)) for line in lines)
    return [path for path in paths if path.exists()]


def _file() -> Path:
    return Path(C.DEFAULT_LOCAL_TMP, NAME)
