# SPDX-License-Identifier: GPL-3.0-or-later
"""How actions come to know the exceptions in force: from the task that read them for all hosts, or from the book."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from .exceptions import FACT, read
from .ledger.errors import LedgerError
from .ledger_address import ledger_url
from .run_id import run_id


class ExceptionsAction(ActionBase):
    """An action that needs to know what hosts are excused from."""

    def exceptions_in_force(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The fact kijun_exceptions_in_force: that of this run where there is one, else made now from the book. One of
        an earlier run, out of a cache of facts, is not believed.

        Args:
            variables: the task's.

        Raises:
            AnsibleActionFail: the ledger does not answer, or does not hold.
        """
        known = variables.get("ansible_facts", {}).get(FACT)
        if known and known.get("run") == run_id():
            return dict(known)
        return self.read_exceptions(variables)

    def read_exceptions(self, variables: Mapping[str, Any], url: str | None = None) -> dict[str, Any]:
        """Read the book.

        Args:
            variables: the task's.
            url: the ledger's address, where the task gives it.

        Returns:
            ``run``, ``day`` (the day of judgement: today, where the controller is) and ``entries``.

        Raises:
            AnsibleActionFail: the ledger does not answer, or does not hold.
        """
        if not url and variables.get("kijun_ledger_url") is not None:
            url = self._templar.template(variables["kijun_ledger_url"])
        day = datetime.datetime.now().astimezone().date()
        try:
            entries = read(ledger_url(url), day)
        except LedgerError as error:
            raise AnsibleActionFail(
                "which exceptions are in force cannot be known, so nothing is done: %s" % error
            ) from None
        return {"run": run_id(), "day": day.isoformat(), "entries": entries}
