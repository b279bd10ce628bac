# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that accounts consist of: passwd(5), shadow(5), group(5), gshadow(5), subuid(5) and subgid(5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..facts.host import lines

FIELDS = {
    "/etc/passwd": 7,
    "/etc/shadow": 9,
    "/etc/group": 4,
    "/etc/gshadow": 4,
    "/etc/subuid": 3,
    "/etc/subgid": 3,
}
"""File -> how many fields its lines have."""

OPTIONAL = ("/etc/gshadow", "/etc/subuid", "/etc/subgid")
"""Files that a host may do without."""

PUBLIC_MODE = {"/etc/shadow": 0o640, "/etc/gshadow": 0o640}
"""Files that others must not read -> mode of a new one."""


class Table:
    """A file of lines with colons between their fields. Lines that are not of its form stay as they are.

    Args:
        text: its content.
        fields: how many fields a line has.
    """

    def __init__(self, text: str, fields: int) -> None:
        self.fields = fields
        self.rows = [line.split(":") for line in lines(text)]
        self.by_name: dict[str, list[str]] = {}
        for row in self.rows:
            if self._is_record(row):
                self.by_name.setdefault(row[0], row)  # the C library takes the first line of a name

    def _is_record(self, row: list[str]) -> bool:
        return len(row) == self.fields and bool(row[0]) and not row[0].startswith(("+", "-", "#"))

    def get(self, name: str) -> list[str] | None:
        """The fields of a name's line; changing them changes the file."""
        return self.by_name.get(name)

    def records(self) -> Iterable[list[str]]:
        """The lines that are of the file's form."""
        return self.by_name.values()

    def add(self, row: list[str]) -> None:
        """Add a line, before the old NIS entries, which must stay at the end."""
        place = next((number for number, other in enumerate(self.rows) if other[0].startswith("+")), len(self.rows))
        self.rows.insert(place, row)
        self.by_name[row[0]] = row

    def remove(self, name: str) -> None:
        """Remove all lines of a name."""
        self.rows = [row for row in self.rows if not (self._is_record(row) and row[0] == name)]
        self.by_name.pop(name, None)

    def text(self) -> str:
        """The file's content."""
        return "".join(":".join(row) + "\n" for row in self.rows)


class Databases:
    """A host's account files, read together.

    Args:
        read: gives a file's text, or None where there is none.
    """

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self.before = {path: read(path) for path in FIELDS}
        self.tables = {path: Table(self.before[path] or "", fields) for path, fields in FIELDS.items()}
        self.passwd, self.shadow = self.tables["/etc/passwd"], self.tables["/etc/shadow"]
        self.group, self.gshadow = self.tables["/etc/group"], self.tables["/etc/gshadow"]

    def missing(self) -> list[str]:
        """Files that every host has, and that are not there."""
        return [path for path, text in self.before.items() if text is None and path not in OPTIONAL]

    def changed(self) -> dict[str, str]:
        """File -> new text, of files that are to change."""
        texts = {path: table.text() for path, table in self.tables.items()}
        # A last line without its newline is no reason to write a file.
        same = {path: text for path, text in self.before.items() if text is not None}
        return {
            path: text for path, text in texts.items() if path in same and text.rstrip("\n") != same[path].rstrip("\n")
        }

    def groups_of(self, name: str) -> list[str]:
        """Supplementary groups of an account, sorted; its own (primary) group is none of them."""
        row = self.passwd.get(name)
        primary = row[3] if row else ""
        # The first test is cheap, and rules out nearly all: 200 accounts times 300 groups are looked at.
        return sorted(r[0] for r in self.group.records() if name in r[3] and name in members(r) and r[2] != primary)

    def all_groups(self) -> dict[str, set[str]]:
        """Account -> names of all its groups, the primary one included."""
        by_gid = {row[2]: row[0] for row in self.group.records()}
        found = {row[0]: {by_gid[row[3]]} if row[3] in by_gid else set() for row in self.passwd.records()}
        for row in self.group.records():
            for name in members(row):
                if name in found:
                    found[name].add(row[0])
        return found

    def _in_gshadow(self, group: str, name: str) -> bool:
        row = self.gshadow.get(group)
        return row is not None and name in row[3]

    def set_groups(self, name: str, wanted: Iterable[str]) -> None:
        """Make an account a member of these supplementary groups and of no other."""
        primary = self.passwd.by_name[name][3]
        wanted = set(wanted)
        for row in self.group.records():
            if row[2] == primary or not (row[0] in wanted or name in row[3] or self._in_gshadow(row[0], name)):
                continue
            for table in (self.group, self.gshadow):
                record = table.get(row[0])
                if record is not None:
                    _set_member(record, name, row[0] in wanted)


def members(row: list[str]) -> list[str]:
    """The members that a line of group(5) or gshadow(5) names."""
    return [name for name in row[3].split(",") if name]


def _set_member(row: list[str], name: str, wanted: bool) -> None:
    there = members(row)
    if wanted and name not in there:
        row[3] = ",".join([*there, name])
    elif not wanted and name in there:
        row[3] = ",".join(member for member in there if member != name)


def number(settings: dict[str, Any], key: str, default: int) -> int:
    """A whole number of login.defs(5), or its default where it is not set or is none."""
    value = settings.get(key)
    return value if isinstance(value, int) else default


def is_number(text: str) -> bool:
    """Whether a field is a number as these files hold it."""
    return text.isascii() and text.isdigit()


def is_system(uid: int, settings: dict[str, Any]) -> bool:
    """Whether a user id is one of the system's: not between UID_MIN and UID_MAX of login.defs(5)."""
    return not number(settings, "UID_MIN", 1000) <= uid <= number(settings, "UID_MAX", 60000)
