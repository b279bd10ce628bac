# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciliations of hosts with the account ledger: what each run found."""

from __future__ import annotations

from typing import ClassVar

import pydantic

from ..book import Action, Book


class Reconciliation(pydantic.BaseModel):
    """One run.

    Attributes:
        run: its name: the time at which it began, as ledgers write it.
        status: always recorded.
        hosts: hosts that were read.
        unreached: hosts that could not be read.
        findings: kind of finding -> how many.
        accounts: how many accounts were compared.
        ledger_count: events of the account book that it was compared with.
        ledger_head: hash of the newest of them, in hexadecimal.
        report: SHA-256 of the list of findings (CSV), in hexadecimal.
        suspended: accounts that it suspended because nobody used them.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    run: str
    status: str
    hosts: list[str]
    unreached: list[str] = []
    findings: dict[str, int]
    accounts: int
    ledger_count: int
    ledger_head: str
    report: str = ""
    suspended: list[str] = []


class Reconciliations(Book):
    """The book of reconciliations."""

    name = "reconciliations"
    title: ClassVar = {"en": "Reconciliations of accounts", "ja": "アカウント棚卸記録"}
    model = Reconciliation
    key = "run"
    imported = "record"
    actions: ClassVar = {
        "record": Action(
            before=frozenset({""}),
            after="recorded",
            fields=frozenset(Reconciliation.model_fields) - {"run", "status"},
            required=("hosts",),
            done=frozenset({"recorded"}),
            clause="SM-4.1.3-2",
        )
    }
    headings: ClassVar = {
        "run": ("Run", "実施日時"),
        "status": ("Status", "状態"),
        "hosts": ("Hosts", "対象ホスト"),
        "unreached": ("Hosts not reached", "未到達ホスト"),
        "findings": ("Findings", "検出事項"),
        "accounts": ("Accounts", "アカウント数"),
        "ledger_count": ("Ledger's events", "台帳の記録数"),
        "ledger_head": ("Ledger's head", "台帳の末尾ハッシュ"),
        "report": ("Report", "報告書ハッシュ"),
        "suspended": ("Suspended", "停止したアカウント"),
    }
