# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this run stands in the journal. The callback says it before the first task is forked, so that each knows."""

from __future__ import annotations

from dataclasses import dataclass

NOBODY = "the callback kijun.baseline.operations_journal is not among callbacks_enabled"


@dataclass
class Opening:
    """How opening the run's entry ended.

    Attributes:
        run: the entry, where it was written.
        reason: why it was not.
        emergency: why the run goes on in production all the same, as whoever started it said.
    """

    run: str = ""
    reason: str = NOBODY
    emergency: str = ""

    @property
    def is_written(self) -> bool:
        """Whether the run stands in the journal."""
        return bool(self.run)

    def refusal(self) -> str:
        """Why a run on production may not start; nothing where it may."""
        if self.is_written or self.emergency:
            return ""
        return (
            "this run is on production and stands in no operations journal: %s (clause SM-4.11-2). Where the ledger "
            "itself is to be repaired: -e kijun_journal_emergency='REASON'" % self.reason
        )


CURRENT = Opening()
"""That of this run: what a forked process inherits."""
