# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks for, checked, and the state that each of its paths is to take."""

from __future__ import annotations

import grp
import os
import pwd
import re
from dataclasses import dataclass
from typing import Any

from .file_state import FileState, FileTransactionError, real_path

UNKNOWN_ID = -1  # an owner that a package not installed yet will create (check mode only)
_MODE = re.compile(r"0?[0-7]{3,4}")


@dataclass
class Wanted:
    """One entry of the task's ``files``, checked.

    :ivar path: as the task names it.
    :ivar real: the same path with the links above its last name resolved.
    :ivar state: ``file``, ``directory`` or ``absent``.
    :ivar content: whole new content; None for a directory, an absent path or a keyed edit.
    :ivar settings: keyed edit: key to value (None: the key is removed); None when the content is given whole.
    :ivar separator: what stands between a key and its value in lines that the edit writes.
    :ivar uid: owner; None keeps the present one (as gid and mode; keyed edits only).
    :ivar validate: command for this candidate alone, ``%s`` standing for its path.
    """

    path: str
    real: str
    state: str
    content: bytes | None
    settings: dict[str, Any] | None
    separator: str
    uid: int | None
    gid: int | None
    mode: int | None
    secret: bool
    validate: str | None


def parse_files(files: list[dict[str, Any]], check: bool, notes: list[str]) -> list[Wanted]:
    """Check the task's entries and resolve their paths.

    :param files: dictionaries with path, state, content (bytes or None), settings, separator, owner, group, mode,
        secret, validate, as the module documents them.
    :param check: in check mode an owner that does not exist yet is noted, not refused: a package may create it.
    :param notes: takes such notes.
    :raises FileTransactionError: names the path, the value and what is allowed.
    """
    wanted: dict[str, Wanted] = {}
    for entry in files:
        item = _parse_entry(entry, check, notes)
        if item.real in wanted:
            other = wanted[item.real].path
            raise FileTransactionError(f"{item.path}: listed twice (also as {other}); each path may be listed once")
        wanted[item.real] = item
    return [wanted[real] for real in sorted(wanted)]


def _parse_entry(entry: dict[str, Any], check: bool, notes: list[str]) -> Wanted:
    path = checked_path(entry["path"])
    state = entry["state"]
    edits = entry["settings"] is not None
    default_mode = "0755" if state == "directory" else "0644"
    # A keyed edit keeps the owner, group and mode that the file has, unless the task says otherwise.
    owner = entry["owner"] or (None if edits else "root")
    group = entry["group"] or (None if edits else "root")
    mode = entry["mode"] or (None if edits else default_mode)
    if entry["validate"] and "%s" not in entry["validate"]:
        raise FileTransactionError(
            f"{path}: validate: {entry['validate']!r} holds no %s, which stands for the candidate file"
        )
    if edits:
        _check_settings(path, entry["settings"])
    return Wanted(
        path=path,
        real=real_path(path),
        state=state,
        content=entry["content"],
        settings=entry["settings"],
        separator=entry["separator"],
        uid=None if owner is None else _lookup("owner", owner, path, check, notes),
        gid=None if group is None else _lookup("group", group, path, check, notes),
        mode=None if mode is None else _parse_mode(mode, path),
        secret=entry["secret"],
        validate=entry["validate"],
    )


def checked_path(path: str) -> str:
    """Give an absolute, normalised path back, and refuse any other."""
    if path == "/" or not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path:
        raise FileTransactionError(
            f"{path}: no usable path; it must be absolute, and hold no '..', '.' and '//' and no '/' at its end"
        )
    return path


def _lookup(kind: str, name: str, path: str, check: bool, notes: list[str]) -> int:
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        if not check:
            raise FileTransactionError(
                f"{path}: {kind}: {name!r} does not exist on this host; an existing name or a numeric id is allowed"
            ) from None
    notes.append(f"{path}: {kind} {name} does not exist yet")
    return UNKNOWN_ID


def _parse_mode(mode: str, path: str) -> int:
    if not _MODE.fullmatch(mode):
        raise FileTransactionError(
            f'{path}: mode: {mode!r}; three or four octal digits in quotes are allowed, such as "0644"'
        )
    return int(mode, 8)


def _check_settings(path: str, settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        if not key or re.search(r"\s|^#", key):
            raise FileTransactionError(f"{path}: settings: {key!r} is no key; a word without blanks is allowed")
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))) or "\n" in str(value):
            raise FileTransactionError(
                f"{path}: settings: {key}: {value!r}; a number, a text of one line (put yes and no in quotes) or null, "
                "which removes the key, is allowed"
            )


def target_state(item: Wanted, before: FileState | None) -> FileState | None:
    """Work out what a path is to become, from what it is.

    :raises FileTransactionError: what stands there cannot become what is wanted.
    """
    if before is not None and before.kind == "link" and item.state != "absent":
        raise FileTransactionError(
            f"{item.path}: is a symbolic link to {os.fsdecode(before.content)}; name the file itself"
        )
    if before is not None and before.kind == "directory" and item.state != "directory":
        raise FileTransactionError(
            f"{item.path}: is a directory; a file belongs here, and directories are never replaced"
        )
    if item.state == "absent":
        return None
    if item.state == "directory":
        if before is not None and before.kind != "directory":
            raise FileTransactionError(
                f"{item.path}: is a file; a directory belongs here, and files are never replaced by one"
            )
        return FileState("directory", b"", item.uid or 0, item.gid or 0, item.mode or 0)
    if item.settings is None:
        return FileState("file", item.content or b"", item.uid or 0, item.gid or 0, item.mode or 0)
    if before is None:
        raise FileTransactionError(f"{item.path}: does not exist; settings edit an existing file")
    return FileState(
        "file",
        edit_settings(before.content, item.settings, item.separator),
        before.uid if item.uid is None else item.uid,
        before.gid if item.gid is None else item.gid,
        before.mode if item.mode is None else item.mode,
    )


def edit_settings(content: bytes, settings: dict[str, Any], separator: str) -> bytes:
    """Set keys in a file of ``KEY<separator>value`` lines and leave every other line alone.

    The first line that sets a key is replaced (kept as it is when its value is right already), further ones are
    dropped. A new key goes below a commented-out line that mentions it, or to the end.

    :param settings: key to value; None removes the key.
    :param separator: written between key and value; blanks around it are ignored in lines that are read.
    """
    lines = [line.decode("utf-8", "surrogateescape") for line in content.splitlines(keepends=True)]
    mark = re.escape(separator.strip())
    for key, value in settings.items():
        between = rf"\s*{mark}" if mark else r"(?:\s|$)"
        sets = re.compile(rf"\s*{re.escape(key)}{between}\s*(?P<value>.*?)\s*$")
        found = {number: match["value"] for number, line in enumerate(lines) if (match := sets.match(line))}
        if found and value is not None:
            first = min(found)
            if found.pop(first) != str(value):
                lines[first] = f"{key}{separator}{value}\n"
        elif value is not None:
            _insert_setting(lines, re.compile(rf"# ?{re.escape(key)}{between}"), f"{key}{separator}{value}\n")
        lines = [line for number, line in enumerate(lines) if number not in found]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _insert_setting(lines: list[str], mention: re.Pattern[str], new: str) -> None:
    """Put a new line below the last one that mentions its key in a comment, or to the end."""
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    places = [number + 1 for number, line in enumerate(lines) if mention.match(line)]
    lines.insert(places[-1] if places else len(lines), new)
