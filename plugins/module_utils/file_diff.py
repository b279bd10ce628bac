# SPDX-License-Identifier: GPL-3.0-or-later
"""Show changes in the form of Ansible's diff."""

from __future__ import annotations

import grp
import pwd
from typing import Any

from .file_commit import Change
from .file_request import UNKNOWN_ID
from .file_state import FileState

LARGEST_DIFF = 100_000  # bytes of a file that a diff still shows


def diff_of(change: Change) -> list[dict[str, str]]:
    """Give a change in the form of Ansible's diff: dictionaries of before, after and their headers."""
    parts = []
    before, after = change.before, change.after
    holds_content = any(state is not None and state.kind != "directory" for state in (before, after))
    if holds_content and (before.content if before else None) != (after.content if after else None):
        texts = (_shown(before, change.secret), _shown(after, change.secret))
        if change.secret and before and after:
            texts = ("(secret content)\n", "(other secret content)\n")
        parts.append(_diff_part(change.path, *texts))
    attributes = (_attributes(before), _attributes(after))
    if attributes[0] != attributes[1]:
        parts.append(_diff_part(f"{change.path} (attributes)", *attributes))
    return parts


def _diff_part(title: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": title, "after_header": title, "before": before, "after": after}


def _shown(state: FileState | None, secret: bool) -> str:
    if state is None or state.kind == "directory":
        return ""
    if secret:
        return "(secret content)\n"
    if len(state.content) > LARGEST_DIFF or b"\0" in state.content:
        return f"({len(state.content)} bytes, SHA-256 {state.digest})\n"
    text = state.content.decode("utf-8", "replace")
    return f"-> {text}\n" if state.kind == "link" else text


def _attributes(state: FileState | None) -> str:
    if state is None:
        return ""
    owner, group = _name(pwd.getpwuid, state.uid), _name(grp.getgrgid, state.gid)
    return f"{state.kind} owner={owner} group={group} mode={state.mode:04o}\n"


def _name(lookup: Any, number: int) -> str:
    if number == UNKNOWN_ID:
        return "(does not exist yet)"
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)
