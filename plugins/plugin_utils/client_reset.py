# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a PC may be reset for another user. Pure functions: what books and the PC say in, complaints out."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .journal.words import BOOK as JOURNAL
from .ledger.book import is_same_person
from .ledger.books.accounts import USABLE
from .ledger.books.assets import RESET_CLAUSE
from .ledger.engine import Ledger
from .ledger.errors import LedgerError

Fields = Mapping[str, Any]

BOOK = "assets"
READ = (BOOK, "accounts", "media", "incidents", JOURNAL)
"""Books that are believed, each if its chain holds."""

IN_FORCE = USABLE | {"suspended"}
"""Statuses of accounts that somebody has, or gets back."""

BY_HAND = (
    "by hand: start the PC from the installer's medium, overwrite each disk that is named here (shred --verbose "
    "--iterations=1 --zero DEVICE), install it anew with encrypted disks, and enter that by asset_entries.yml (action "
    "reset, reset_method external, with a reason)"
)
"""What a person does where this program does not."""


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    Attributes:
        asset: the asset, in the book.
        serial: the serial that stands on the machine, as it was typed.
        host: the machine's name in the inventory.
        is_client: whether it is in the group clients.
        is_controller: whether it is the machine that this runs on.
        actor, approver: who runs it, and who approved it.
        no_data: why there is nothing on it to keep; empty where there is.
    """

    asset: str
    serial: str
    host: str
    is_client: bool
    is_controller: bool
    actor: str
    approver: str
    no_data: str = ""


@dataclass(frozen=True)
class Books:
    """What the ledger says.

    Attributes:
        asset: the asset; None where the book has none of that name.
        stored_on: the day on which it was last put into store; empty where it never was.
        accounts, media, incidents: those that may be about the host.
        history: backups and tests of restoring, of the operations journal.
    """

    asset: Fields | None
    stored_on: str = ""
    accounts: Sequence[Fields] = ()
    media: Sequence[Fields] = ()
    incidents: Sequence[Fields] = ()
    history: Sequence[Fields] = field(default=())


def books_of(ledger: Ledger, request: Request) -> Books:
    """Read what the ledger says about a PC.

    Args:
        ledger: the ledger.
        request: what is asked for.

    Raises:
        LedgerError: a book was altered, so that nothing is believed.
    """
    for book in READ:
        verification = ledger.verify(book)
        if not verification.ok:
            raise LedgerError("nothing was changed: %s" % verification.complaint("the book of %s" % book))
    asset = ledger.get(BOOK, request.asset)
    stored = ledger.events(BOOK, {"key": request.asset, "action": ["store", "find"]}, newest_first=True, limit=1)
    history = {"hosts": [request.host], "kind": ["backup", "restore_test"]}
    return Books(
        asset=asset.fields if asset else None,
        stored_on=stored[0].at[:10] if stored else "",
        accounts=[state.fields for state in ledger.states("accounts", {"hosts": [request.host]})],
        media=[state.fields for state in ledger.states("media", {"hosts": [request.host]})],
        incidents=[state.fields for state in ledger.states("incidents", {"host": [request.host]})],
        history=[state.fields for state in ledger.states(JOURNAL, history)],
    )


def refusals(request: Request, books: Books, seen: Fields) -> list[str]:
    """What speaks against a reset: which, why, and the clause. Nothing, where it may be done.

    Args:
        request: what is asked for.
        books: what the ledger says.
        seen: what the PC says, as client_volumes returns it.
    """
    return [
        *_machine(request, books.asset, seen),
        *_books(request.host, books),
        *([] if request.no_data else _backups(request.host, books)),
        *_volumes(seen),
    ]


def _said(what: str, clause: str = RESET_CLAUSE) -> str:
    return "%s (clause %s)" % (what, clause)


def _machine(request: Request, asset: Fields | None, seen: Fields) -> Iterator[str]:
    """Whether it is the machine that is meant, and two people want it."""
    if is_same_person(request.approver, request.actor):
        reason = "approver is %r, who runs this: -e approver=NAME is another person, who approved it"
        yield _said(reason % request.approver)
    if request.is_controller:
        yield _said("host %s is the controller itself: what runs this does not end itself" % request.host)
    if not request.is_client:
        yield _said("host %s is not in the group clients: a server is not reset for another user" % request.host)
    if asset is None:
        yield _said("client_reset_asset is %r: the book of assets has no such asset" % request.asset)
        return
    if asset["kind"] != "pc":
        yield _said("asset %s is a %s: only a pc is reset by this" % (asset["id"], asset["kind"]))
    if asset["host"] != request.host:
        yield _said(
            "client_reset_host is %r, and asset %s is %r" % (request.host, asset["id"], asset["host"] or "no host")
        )
    if asset["status"] != "stored":
        yield _said("asset %s is %s; it must be stored: who had it has returned it" % (asset["id"], asset["status"]))
    if not asset["serial"]:
        yield _said("asset %s has no serial in the book: enter it first" % asset["id"])
    elif request.serial != asset["serial"]:
        yield _said("client_reset_serial is %r, which is not that of asset %s" % (request.serial, asset["id"]))
    if not seen["serial"]:
        yield _said("host %s tells no serial of its hardware, so that nobody knows which machine it is" % request.host)
    elif asset["serial"] and seen["serial"] != asset["serial"]:
        reason = "host %s says of its hardware that its serial is %r, and the book says %r of asset %s"
        yield _said(reason % (request.host, seen["serial"], asset["serial"], asset["id"]))


def _books(host: str, books: Books) -> Iterator[str]:
    """Who still counts on the machine as it is."""
    for account in books.accounts:
        if account["status"] in IN_FORCE and host in account["hosts"]:
            reason = "account %s (%s) is %s and names host %s: end it, or take the host off it, first"
            yield _said(reason % (account["login"], account["person"], account["status"], host), "GL-2.1-2")
    for medium in books.media:
        if medium["status"] == "lent" and host in medium["hosts"]:
            reason = "medium %s is lent to %s for host %s: have it returned first"
            yield _said(reason % (medium["id"], medium["lent_to"], host), "GL-2.4-3")
    for incident in books.incidents:
        if incident["status"] != "resolved" and incident["host"] == host:
            reason = "incident %s of host %s is %s: what is looked into is not destroyed; resolve it first"
            yield _said(reason % (incident["id"], host, incident["status"]), "GL-3.1.2-4b")


def _backups(host: str, books: Books) -> Iterator[str]:
    """Whether its data are kept: each class backed up well, not before the day before its return, and restored well."""
    excuse = "; if there is nothing on it to keep, -e client_reset_no_data says why"
    clause = "SO-5.2-data-steps"
    mine = [entry for entry in books.history if host in entry["hosts"]]
    saved, tested = _newest(mine, "backup"), _newest(mine, "restore_test")
    if not saved:
        yield _said("the operations journal knows no backup of host %s%s" % (host, excuse), clause)
        return
    # Where it was never stored, that is said already, and no backup is late.
    since = ""
    if books.stored_on:
        since = (datetime.date.fromisoformat(books.stored_on) - datetime.timedelta(days=1)).isoformat()
    for name, entry in sorted(saved.items()):
        test = tested.get(name)
        what = "the newest backup of class %s of host %s (%s, %s)" % (name, host, entry["id"], entry["at"])
        if entry["outcome"] != "ok":
            yield _said("%s is %s%s" % (what, entry["outcome"] or "not finished", excuse), clause)
        elif entry["at"][:10] < since:
            yield _said(
                "%s is older than its return on %s, by more than a day%s" % (what, books.stored_on, excuse), clause
            )
        elif test is None or test["outcome"] != "ok":
            how = "was never restored for a test" if test is None else "was not restored well: %s" % test["id"]
            yield _said("class %s of host %s %s%s" % (name, host, how, excuse), clause)


def _newest(entries: Iterable[Fields], kind: str) -> dict[str, Fields]:
    """Class of data -> the newest entry of a kind."""
    newest: dict[str, Fields] = {}
    for entry in sorted(entries, key=lambda one: (str(one["at"]), str(one["id"]))):
        if entry["kind"] == kind:
            newest[str(entry["details"].get("class") or "(none)")] = entry
    return newest


def _volumes(seen: Fields) -> Iterator[str]:
    """Whether destroying keys destroys everything."""
    for medium in seen["media"]:
        yield _said("medium %s is plugged in: pull it out; its end stands in the book of media" % medium)
    for other in seen["others"]:
        yield _said("%s is not encrypted by LUKS, so that its data would stay; %s" % (other, BY_HAND))
    if not seen["encrypted"] and not seen["others"]:
        yield _said("no disk of its own was found; %s" % BY_HAND)


def destroyed(volumes: Iterable[Fields], erased: Fields) -> list[dict[str, Any]]:
    """What was destroyed, with the disk that each volume is on.

    Args:
        volumes: as the PC named them before.
        erased: what luks_erase returned.
    """
    disks = {volume["device"]: volume for volume in volumes}
    return [
        {**{name: disks[one["device"]][name] for name in ("disk", "model", "serial")}, **one}
        for one in erased["volumes"]
    ]


def lines(volumes: Iterable[Fields]) -> list[str]:
    """Volumes as the book has them.

    Args:
        volumes: as `destroyed` gives them.
    """
    return [
        "%s, LUKS %s, on %s"
        % (
            one["device"],
            one["uuid"],
            " ".join(filter(None, (one["model"], one["serial"]))) or "a disk that names no serial",
        )
        for one in volumes
    ]
