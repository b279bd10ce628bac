# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ledger complains about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SHOWN = 40
"""How many problems an error's text shows; its `problems` hold all."""


class Problem(NamedTuple):
    """Why one change is refused.

    Attributes:
        row: number of the row or list entry that it came from, from 1; None where there is none.
        key: key of the entry, such as a login name.
        field: the field that is wrong.
        value: the value that it has, as text.
        reason: what is wrong with it, and what is allowed.
        clause: the policy clause that asks for it, or nothing.
    """

    row: int | None
    key: str
    field: str
    value: str
    reason: str
    clause: str = ""

    def __str__(self) -> str:
        """One line: ``row 3: operator2: hosts 'web09': no such host (clause GL-2.1-1)``."""
        place = "" if self.row is None else "row %d: " % self.row
        clause = " (clause %s)" % self.clause if self.clause else ""
        return "%s%s: %s %r: %s%s" % (place, _name(self.key), _name(self.field), self.value, self.reason, clause)


def _name(text: str) -> str:
    """A name as it is, where that can do no harm to a terminal or a log, and quoted where it can."""
    return text if text.isprintable() and 0 < len(text) <= 64 else "%.64r" % text


class LedgerError(Exception):
    """Any error of a ledger."""


class Refused(LedgerError):
    """Changes that a book does not take. None of the batch was written.

    Args:
        problems: all of them, at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append("and %d more" % (len(self.problems) - SHOWN))
        super().__init__("; ".join(lines))


class Stale(Refused):
    """A change names a version of its entry that is no longer the newest: somebody else was faster."""


class Unreachable(LedgerError):
    """The database does not answer, or its tables are not those of this version."""


class Broken(LedgerError):
    """What the database holds contradicts itself, so nothing may be added."""
