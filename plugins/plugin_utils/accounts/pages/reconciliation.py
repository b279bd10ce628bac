# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a reconciliation: what differs between the account ledger and the hosts."""

from __future__ import annotations

from typing import Any

from ..findings import KINDS, SEVERITIES, Finding
from ..reconcile import Reconciliation, moment
from .document import Column, Document, Table, render

FINDINGS_SHOWN = 10_000
"""Findings that the page holds, the worst ones. All are in the CSV file."""

ROWS_SHOWN = 2_000
"""Rows of the other tables."""

TONES = dict(zip(SEVERITIES, ("fail", "error", "excused", "not_applicable"), strict=True))
"""Severity -> tone."""


def reconciliation_page(
    reconciliation: Reconciliation,
    *,
    run: str,
    ledger_count: int,
    ledger_head: str,
    suspended: list[tuple[str, str]] | None = None,
) -> str:
    """The page of one reconciliation.

    Args:
        reconciliation: what :func:`~..reconcile.reconcile_all` found.
        run: when it began, ISO 8601.
        ledger_count: events of the account book that the hosts were held against.
        ledger_head: hash of the newest of them, in hexadecimal.
        suspended: (login, reason) of accounts that the run suspended because nobody used them.

    Returns:
        HTML, for :func:`write_page`.
    """
    return render(_document(reconciliation, run, ledger_count, ledger_head, suspended or []))


def _document(
    found: Reconciliation, run: str, ledger_count: int, ledger_head: str, suspended: list[tuple[str, str]]
) -> Document:
    tables = [_findings(found), _kinds(found)]
    if found.unreached:
        tables.append(_plain("unreached", ("host", "why"), [list(row) for row in found.unreached]))
    if suspended:
        tables.append(_plain("suspended_now", ("login", "why"), [list(row) for row in suspended]))
    if found.problems:
        tables.append(_plain("problems", ("host", "problem"), [list(row) for row in found.problems]))
    if found.ignored:
        tables.append(_ignored(found))
    tables.append(_hosts(found))
    return Document(
        key="reconciliation",
        stem=run,
        facts=[("run", _readable(run)), ("ledger_count", str(ledger_count)), ("ledger_head", ledger_head)],
        tiles=_tiles(found),
        notices=_notices(found),
        tables=tables,
        words={f"kind_{kind}": about.title for kind, about in KINDS.items()}
        | {f"help_{kind}": about.help for kind, about in KINDS.items()},
    )


def _tiles(found: Reconciliation) -> list[tuple[str, str, int]]:
    counts = found.severities
    tiles = [(TONES[severity] if counts[severity] else "", severity, counts[severity]) for severity in SEVERITIES]
    tiles.append(("", "accounts", found.accounts))
    tiles.append(("", "hosts_read", len(found.hosts)))
    tiles.append(("error" if found.unreached else "", "unreached", len(found.unreached)))
    return tiles


def _notices(found: Reconciliation) -> list[tuple[str, str, dict[str, str | int]]]:
    """What a reader must not overlook: an agreement holds only for what was read."""
    notices: list[tuple[str, str, dict[str, str | int]]] = []
    if found.unreached:
        notices.append(("error", "unreached_notice", {"count": len(found.unreached)}))
    if not found.findings and found.hosts:
        notices.append(("pass", "agree", {"hosts": len(found.hosts)}))
    if not found.hosts:
        notices.append(("error", "no_host", {}))
    return notices


def _findings(found: Reconciliation) -> Table:
    columns = (
        Column("severity", "badge", "narrow"),
        Column("kind", "word"),
        Column("host", "name"),
        Column("login"),
        Column("detail", "notes", "wide"),
        Column("since", "moment", "narrow"),
        Column("clauses", "list"),
    )
    rows = [_row(one) for one in found.findings[:FINDINGS_SHOWN]]
    total = len(found.findings) if len(found.findings) > FINDINGS_SHOWN else None
    return Table("findings", columns, rows, choice=1, total=total, note="capped_findings")


def _row(one: Finding) -> list[Any]:
    host = one.host or None
    notes = list(one.notes)
    badge = [TONES[one.severity], one.severity]
    return [badge, f"kind_{one.kind}", host, one.login, notes or None, one.since, list(one.clauses)]


def _kinds(found: Reconciliation) -> Table:
    """Every kind with its number, also those of which there is none: they were looked for."""
    columns = (
        Column("severity", "badge", "narrow"),
        Column("kind", "word"),
        Column("number", "number", "narrow"),
        Column("meaning", "word", "wide"),
        Column("clauses", "list"),
    )
    rows: list[list[Any]] = [
        [
            [TONES[about.severity], about.severity],
            f"kind_{kind}",
            found.kinds[kind],
            f"help_{kind}",
            list(about.clauses),
        ]
        for kind, about in KINDS.items()
    ]
    return Table("by_kind", columns, rows, searched=False)


def _ignored(found: Reconciliation) -> Table:
    columns = (Column("login", "name"), Column("why", "text", "wide"), Column("hosts", "number", "narrow"))
    rows: list[list[Any]] = [[login, why, hosts] for (login, why), hosts in sorted(found.ignored.items())]
    return _capped(Table("ignored", columns, rows))


def _hosts(found: Reconciliation) -> Table:
    columns = (
        Column("host", "name"),
        Column("accounts", "number", "narrow"),
        *(Column(severity, "number", "narrow") for severity in SEVERITIES),
        Column("time", "moment"),
    )
    worst = sorted(
        found.hosts, key=lambda host: ([-host.severities.get(severity, 0) for severity in SEVERITIES], host.host)
    )
    rows: list[list[Any]] = [
        [
            host.host,
            host.accounts,
            *(host.severities.get(severity, 0) for severity in SEVERITIES),
            None if host.time is None else moment(host.time),
        ]
        for host in worst
    ]
    return _capped(Table("hosts", columns, rows))


def _plain(key: str, columns: tuple[str, str], rows: list[list[Any]]) -> Table:
    """A table of a name and a text."""
    name, text = columns
    return _capped(Table(key, (Column(name, "name"), Column(text, "text", "wide")), sorted(rows)))


def _capped(table: Table) -> Table:
    """The table with its first rows, where it has many."""
    if len(table.rows) > ROWS_SHOWN:
        table.total = len(table.rows)
        del table.rows[ROWS_SHOWN:]
    return table


def _readable(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")
