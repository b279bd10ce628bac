# SPDX-License-Identifier: GPL-3.0-or-later
"""How readers see a host: its files below a root, its programs, and a list of problems met on the way."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from typing import Any

TIMEOUT = 10
"""Seconds that one program may take."""

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    """A host that is read and not changed.

    Args:
        root: where its file tree starts; another one than ``/`` in tests.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.problems: list[dict[str, object]] = []
        self._noting = threading.Lock()

    def path(self, path: str) -> str:
        """The place of an absolute path below the root."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> str:
        """The text of a file; bytes that are not UTF-8 are replaced.

        Raises:
            OSError: it cannot be read.
        """
        with open(self.path(path), encoding="utf-8", errors="replace", newline="\n") as file:
            return file.read()

    def read_if_there(self, path: str) -> str:
        """The text of a file, empty when there is none.

        Raises:
            OSError: it is there and cannot be read.
        """
        try:
            return self.read(path)
        except FileNotFoundError:
            return ""

    def run(self, *command: str) -> str:
        """Run a program that only reads, and return its standard output.

        Raises:
            OSError: it is missing, failed, or took longer than `TIMEOUT` seconds.
        """
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                stdin=subprocess.DEVNULL,
                env={"PATH": PATH, "LC_ALL": "C", "TZ": "UTC"},
            )
        except subprocess.TimeoutExpired:
            raise OSError("%s did not answer in %d s" % (command[0], TIMEOUT)) from None
        if done.returncode:
            message = (done.stderr or done.stdout).strip().splitlines() or [""]
            raise OSError("%s: exit status %d: %s" % (" ".join(command), done.returncode, message[-1]))
        return done.stdout

    def problem(self, file: str, line: int, problem: str) -> None:
        """Note a malformed line; each is noted once."""
        entry = {"file": file, "line": line, "problem": problem}
        with self._noting:  # facts are read by several threads
            if entry not in self.problems:
                self.problems.append(entry)

    def problems_in(self, *prefixes: str) -> list[str]:
        """The problems noted in files whose path starts with one of the prefixes, as ``file:line problem``."""
        return [
            "%s:%s %s" % (p["file"], p["line"], p["problem"])
            for p in self.problems
            if str(p["file"]).startswith(prefixes)
        ]


def lines(text: str) -> list[str]:
    """The lines of a text as the C library counts them: a line feed ends one, and nothing else does."""
    return text[: -1 if text.endswith("\n") else None].split("\n") if text else []


class Settings(dict[str, Any]):
    """Settings by name, in which one that is not set is None."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> None:
        return None

    def add(self, key: str, value: Any) -> None:
        """Enter a value; a second one of the same name makes a list."""
        held = self[key]
        self[key] = value if held is None else (held if isinstance(held, list) else [held]) + [value]


def number_or_text(value: str) -> int | str:
    """A whole number where the text is one as programs write it, else the text."""
    return int(value) if re.fullmatch(r"[+-]?[0-9]+", value) else value
