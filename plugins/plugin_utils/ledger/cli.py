# SPDX-License-Identifier: GPL-3.0-or-later
"""The command kijun-ledger: verify, show and export a ledger, with no Ansible installed."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from .book import Book, State
from .books import BOOKS
from .checkpoints import read_checkpoints
from .engine import Checkpoint, Ledger, Verification
from .errors import LedgerError
from .event import Event
from .export_check import read_export, verify_export
from .interchange.export import as_json, write_events, write_states
from .interchange.fields import LANGUAGES, Kind, from_text, kinds, to_text
from .interchange.files import FORMATS, format_of

HOLDS, BROKEN, UNUSABLE = 0, 1, 2
"""Exit codes: the ledger holds, it does not, it could not be read or was asked for wrongly."""

Command = Callable[..., None]


def _shared(command: Command) -> Command:
    """Options that every command has."""
    for option in (
        click.option(
            "--book", type=click.Choice(sorted(BOOKS)), default="accounts", show_default=True, help="The book."
        ),
        click.option(
            "--url",
            envvar="KIJUN_LEDGER_URL",
            metavar="URL",
            help="Address of the ledger; else from KIJUN_LEDGER_URL, so that a password in it stays off the screen.",
        ),
    ):
        command = option(command)
    return command


def _ledger(url: str | None) -> Ledger:
    if not url:
        raise click.UsageError("say which ledger: --url, or the variable KIJUN_LEDGER_URL")
    return Ledger(url)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Read a ledger of Kijun: whether its chain holds, what it says, and files of it.

    Exit codes: 0 all is well, 1 the chain does not hold, 2 wrong usage or a ledger that cannot be read.
    """


@main.command()
@_shared
@click.option("--file", "path", metavar="FILE", help="Verify an export (jsonl) instead of a database.")
@click.option("--checkpoints", metavar="FILE", help="Checkpoints kept elsewhere, or a log that holds them.")
@click.option("--json", "as_data", is_flag=True, help="Answer in JSON.")
def verify(book: str, url: str | None, path: str | None, checkpoints: str | None, as_data: bool) -> None:
    """Hash every event anew and compare.

    Without --checkpoints, events cut off at the end of the whole ledger, or a ledger written wholly anew, cannot be
    found.
    """
    known = read_checkpoints(checkpoints) if checkpoints else []
    relevant = [entry for entry in known if entry.book == book]
    if checkpoints and not relevant:
        raise LedgerError("%s holds no checkpoint of the book %s" % (checkpoints, book))
    differences: list[str] = []
    if path:
        found = verify_export(path, book, relevant)
    else:
        with _ledger(url) as ledger:
            found = ledger.verify(book, relevant)
            differences = ledger.compare(book) if found.ok else []
    _tell_verification(found, relevant, differences, as_data)
    if not found.ok or differences:
        sys.exit(BROKEN)


def _tell_verification(
    found: Verification, checkpoints: Sequence[Checkpoint], differences: Sequence[str], as_data: bool
) -> None:
    if as_data:
        answer = {
            **dataclasses.asdict(found),
            "ok": found.ok and not differences,
            "checkpoints": len(checkpoints),
            "differences": list(differences),
        }
        click.echo(json.dumps(answer, ensure_ascii=False))
    elif not found.ok:
        click.echo("%s: BROKEN at event %s: %s" % (found.book, found.broken_at, found.reason))
    else:
        compared = (
            "compared with %d checkpoints" % len(checkpoints) if checkpoints else "no checkpoints to compare with"
        )
        click.echo("%s: %d events hold, head %s, %s" % (found.book, found.count, found.head, compared))
        for difference in differences:
            click.echo("%s: the stored entries are not what the events made: %s" % (found.book, difference))


@main.command()
@_shared
@click.argument("key", required=False)
@click.option(
    "--where", "conditions", multiple=True, metavar="FIELD=VALUE", help="Entries with a value; may be repeated."
)
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the headings.")
@click.option("--json", "as_data", is_flag=True, help="Answer in JSON.")
def show(
    book: str, url: str | None, key: str | None, conditions: tuple[str, ...], language: str, as_data: bool
) -> None:
    """Show the entry KEY (a login name) and its history, or the entries with some values."""
    if bool(key) == bool(conditions):
        raise click.UsageError("say either an entry, such as a login name, or --where FIELD=VALUE")
    rules = BOOKS[book]
    with _ledger(url) as ledger:
        if conditions:
            _tell_entries(rules, ledger.states(book, _where(rules, conditions)), as_data)
            return
        state = ledger.get(book, str(key))
        history = ledger.events(book, {"key": str(key)})
    if state is None:
        raise LedgerError("%s holds no %r" % (book, key))
    if as_data:
        events = [{**event.fields(), "hash": event.hash.hex()} for event in history]
        click.echo(as_json({**state._asdict(), "history": events}))
    else:
        _tell_history(rules, state, history, language)


def _where(book: Book, conditions: Sequence[str]) -> dict[str, list[Any]]:
    types = kinds(book)
    where: dict[str, list[Any]] = {}
    for condition in conditions:
        name, equals, text = condition.partition("=")
        if not equals or name not in types:
            raise click.UsageError("--where %r must be FIELD=VALUE; fields are %s" % (condition, ", ".join(types)))
        kind = types[name]
        try:
            # An element of a list is looked for by itself.
            where.setdefault(name, []).append(text if kind.type == "list" else from_text(text, kind))
        except ValueError as error:
            raise click.UsageError("--where %r: %s" % (condition, error)) from None
    return where


def _tell_entries(book: Book, states: Sequence[State], as_data: bool) -> None:
    if as_data:
        click.echo(as_json([state._asdict() for state in states]))
        return
    shown = [name for name in book.headings if name != book.key][:4]
    shown += [name for name in ("hosts", "status") if name in book.headings and name not in shown]
    types = kinds(book)
    for state in states:
        values = (to_text(state.fields.get(name), types[name], "en") for name in shown)
        click.echo("\t".join([_visible(state.key), *map(_visible, values)]))


def _tell_history(book: Book, state: State, history: Sequence[Event], language: str) -> None:
    types = kinds(book)
    place = LANGUAGES.index(language)
    for name, headings in book.headings.items():
        text = to_text(state.fields.get(name), types[name], language)
        if text:
            click.echo("%s: %s" % (headings[place], _visible(text)))
    click.echo("")
    for event in history:
        _tell_event(event, types, language)


def _tell_event(event: Event, types: Mapping[str, Kind], language: str) -> None:
    line = ["%d" % event.sequence, event.at, event.action, "by %s" % event.actor]
    if event.approver:
        line.append("approved by %s" % event.approver)
    if event.ticket:
        line.append(event.ticket)
    click.echo(_visible("  ".join(line)))
    for name, value in sorted(event.payload.items()):
        text = to_text(value, types[name], language) if name in types else as_json(value)
        # What a first event leaves empty says nothing; what a later one empties does.
        if text or event.version > 1:
            click.echo("    %s: %s" % (name, _visible(text) or "-"))


def _visible(text: str) -> str:
    r"""A text whose control characters are written out (\x1b), so that it cannot steer the auditor's terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@main.command()
@_shared
@click.option("--file", "path", metavar="FILE", help="Take the events of an export (jsonl) instead of a database.")
@click.option("--events", "of_events", is_flag=True, help="The events instead of the entries; jsonl always is events.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Else by the ending of the file.")
@click.option("--output", required=True, metavar="FILE", help="The file; it is replaced, with mode 0600.")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the headings.")
def export(
    book: str, url: str | None, path: str | None, of_events: bool, form: str | None, output: str, language: str
) -> None:
    """Write the entries of a book, or its events, to a file."""
    rules, form = BOOKS[book], format_of(output, form)
    of_events = of_events or form == "jsonl" or bool(path)
    if path:
        count = write_events(output, rules, read_export(path), form, language)
    else:
        with _ledger(url) as ledger:
            if of_events:
                count = write_events(output, rules, ledger.events(book), form, language)
            else:
                count = write_states(output, rules, ledger.states(book), form, language)
    click.echo("%s: %d %s" % (output, count, "events" if of_events else "entries"))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; the process's own when None.

    Returns:
        The exit code.
    """
    try:
        main.main(
            args=list(arguments) if arguments is not None else None, prog_name="kijun-ledger", standalone_mode=False
        )
    except click.exceptions.Abort:
        return UNUSABLE
    except click.ClickException as error:
        error.show()
        return UNUSABLE
    except LedgerError as error:
        click.echo("kijun-ledger: %s" % _visible(str(error)), err=True)
        return UNUSABLE
    except SystemExit as asked:
        return int(asked.code or 0)
    return HOLDS


if __name__ == "__main__":
    sys.exit(run())
