# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bench measures of ledgers and accounts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import bench_ledger
import bench_reconcile
import kijun_ledger_server

ACCOUNTS = 200
"""Accounts of the host whose re-run is measured."""


class Row(NamedTuple):
    """One line of the table: what was measured, its figure, its bar, and whether it holds."""

    what: str
    figure: str
    bar: str
    holds: bool


def ledger_rows() -> list[Row]:
    """Appends, verification and pages, on SQLite and on the lab's PostgreSQL."""
    kijun_ledger_server.serve()
    database = kijun_ledger_server.fresh_database()
    try:
        taken = bench_ledger.main(["--postgresql", kijun_ledger_server.postgresql_url("owner", database)])
    finally:
        kijun_ledger_server.drop_database(database)
    rows = []
    for name, held in (("sqlite", True), ("postgresql", False)):
        figures = taken[name]
        bars = bench_ledger.BARS
        rows += [
            _least(
                f"{name}: appends/s in batches of 500", figures["appends_per_second"], bars["appends_per_second"], held
            ),
            _least(f"{name}: verified events/s", figures["verified_per_second"], bars["verified_per_second"], held),
            Row(
                f"{name}: slowest page, 10,000 accounts, 200,000 events",
                f"{figures['page_seconds']:.3f} s",
                f"{bars['page_seconds']} s",
                figures["page_seconds"] <= bars["page_seconds"],
            ),
        ]
    return rows


def _least(what: str, figure: float, bar: float, held: bool) -> Row:
    """A row of a rate; PostgreSQL's stand beside SQLite's and have no bar."""
    return Row(what, f"{figure:,.0f}", f"{bar:,.0f}" if held else "", figure >= bar or not held)


def reconcile_rows() -> list[Row]:
    """A thousand hosts with two hundred accounts each."""
    return [
        Row(
            f"reconcile 1,000 x 200, {name}",
            f"{figures.seconds:.2f} s of the processor, {figures.megabytes:.0f} MB",
            f"{bench_reconcile.BAR_SECONDS:.0f} s, {bench_reconcile.BAR_MEGABYTES:.0f} MB",
            figures.holds,
        )
        for name, figures in bench_reconcile.measure().items()
    ]


def rerun_row(host: str, run: Callable[..., str], seconds: Callable[..., float], ping_seconds: float) -> Row:
    """accounts.yml on a host with two hundred accounts and nothing to change.

    Args:
        host: the host.
        run: runs a command of the checkout with further environment variables.
        seconds: the median time of an action.
        ping_seconds: how long a ping takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.sqlite"
        entries = Path(folder) / "entries.yml"
        entries.write_text(_entries(host), encoding="utf-8")

        def playbook(name: str, *arguments: str) -> str:
            return run("ansible-playbook", f"playbooks/{name}.yml", *arguments, KIJUN_LEDGER_URL=url)

        playbook("ledger_migrate")
        playbook("account_ledger", "-e", f"@{entries}")
        playbook("accounts", "--limit", host)
        ratio = seconds(lambda: playbook("accounts", "--limit", host)) / ping_seconds
    return Row(f"accounts.yml, {ACCOUNTS} accounts, nothing to change", f"{ratio:.2f} × ping", "3", ratio <= 3)


def _entries(host: str) -> str:
    """Two hundred accounts, asked for and approved, as YAML."""
    lines = ["account_entries:"]
    for number in range(ACCOUNTS):
        common = f"login: user{number}, ticket: REQ-{number}"
        fields = f"person: Person {number}, department: development, hosts: [{host}], justification: measured"
        rights = "groups: [adm], sudo: [restart-web], password: false"
        lines += [
            f"  - {{{common}, action: request, requester: operator1, {fields}, {rights}}}",
            f"  - {{{common}, action: approve, approver: manager1}}",
        ]
    return "\n".join(lines) + "\n"
