# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of facts as text for people."""

from __future__ import annotations

import json
import re
from typing import Any

#: Longer values are cut on the page and in JUnit; the host's JSON record holds them whole.
LONGEST = 2000

# Control characters, and the ones that turn the direction of writing: a host could make a line read as another one.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def text(value: Any) -> str | None:
    """A value as a reader should see it.

    :param value: any JSON value.
    :returns: text in which no character is invisible, a member of a mapping on each line; None for null, which the
        page words in the reader's language.
    """
    if value is None:
        return None
    if isinstance(value, str):
        shown = value
    elif isinstance(value, list) and value and all(isinstance(item, (str, int)) for item in value):
        shown = ", ".join(str(item) for item in value)
    elif isinstance(value, dict) and value and all(isinstance(item, (str, int)) for item in value.values()):
        shown = "\n".join(f"{key}: {item}" for key, item in value.items())
    else:
        shown = json.dumps(value, ensure_ascii=False)
    return visible(shown)


def visible(value: str) -> str:
    """Text with its invisible characters spelled out, cut to :data:`LONGEST` characters."""
    shown = value if len(value) <= LONGEST else f"{value[:LONGEST]} … ({len(value)} characters)"
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found.group()):04x}", shown)


def one_line(value: str, longest: int = 160) -> str:
    """Text for a line of terminal output: a host's answer must not be able to write control sequences to it."""
    shown = visible(" ".join(value.split()))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def check_line(check: dict[str, Any]) -> str:
    """A check in one line: fact, expected, actual, and what the audit said besides."""
    expected = " ".join(part for part in (check["op"], text(check["expected"])) if part)
    actual = text(check["actual"])
    line = f"{check['fact']}: expected {expected}, actual {'none' if actual is None else actual}"
    return visible(f"{line} ({check['detail']})" if check["detail"] else line).replace("\n", "; ")
