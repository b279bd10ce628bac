# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on one book of the ledger: lists of its entries, printed, as a page, and the whole book as CSV and XLSX."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail

from . import kept_files
from .accounts.pages.document import Column, Document, Table, render, write_page
from .accounts.pages.ledger import verified
from .ledger.book import State
from .ledger.books import BOOKS
from .ledger.engine import Verification
from .ledger.interchange.export import write_states
from .ledger_action import URL_ARGUMENT, LedgerAction

Lists = Mapping[str, list[dict[str, Any]]]
"""Name of a list -> fields of its entries."""


@dataclass(frozen=True)
class BookReport:
    """What a report on a book shows.

    Attributes:
        book: the book.
        key: the page's key in words; its heading.
        lists: the lists, in the order in which a reader wants to see them -> the tone of one that is not empty.
        words: key, lists and whatever columns need beside the book's headings -> (English, Japanese).
        columns: of the lists' tables; those of a field are called ``field_NAME``.
        said: fields of an entry that the task's result has.
        sort_out: gives the lists' entries, from the book's and the day of judgement.
    """

    book: str
    key: str
    lists: Mapping[str, str]
    words: Mapping[str, tuple[str, str]]
    columns: Sequence[Column]
    said: Sequence[str]
    sort_out: Callable[[Iterable[State], datetime.date], dict[str, list[dict[str, Any]]]]

    def page(self, lists: Lists, verification: Verification, day: datetime.date) -> str:
        """The report as HTML.

        Args:
            lists: as `sort_out` gives them.
            verification: how verifying the book's chain ended.
            day: the day of judgement.
        """
        names = [column.key.removeprefix("field_") for column in self.columns]
        headings = BOOKS[self.book].headings
        return render(
            Document(
                key=self.key,
                stem=day.isoformat(),
                facts=[
                    ("read_at", day.isoformat()),
                    ("ledger_count", str(verification.count)),
                    ("ledger_head", verification.head),
                ],
                tiles=[(tone if lists[name] else "", name, len(lists[name])) for name, tone in self.lists.items()],
                notices=[verified(verification)],
                tables=[
                    Table(name, self.columns, [[entry.get(field, "") for field in names] for entry in lists[name]])
                    for name in self.lists
                    if lists[name]
                ],
                words={**self.words, **{f"field_{name}": words for name, words in headings.items()}},
            )
        )


class BookReportAction(LedgerAction):
    """Reads a book, and writes the page and the lists.

    Attributes:
        report: what is shown. The files are called as the book is.
    """

    report: ClassVar[BookReport]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **URL_ARGUMENT,
            }
        )
        report, today = self.report, self.today()
        files: list[str] = []
        with self.ledger(arguments, variables) as ledger:
            verification = ledger.verify(report.book)
            states = ledger.states(report.book)
            lists = report.sort_out(states, today)
            if arguments["directory"] and not self._task.check_mode:
                folder = made_folder(arguments["directory"])
                files = [os.path.join(folder, "%s.%s" % (report.book, form)) for form in ("html", "csv", "xlsx")]
                write_page(files[0], report.page(lists, verification, today))
                for path, form in zip(files[1:], ("csv", "xlsx"), strict=True):
                    write_states(path, BOOKS[report.book], states, form, arguments["language"])
                kept_files.note(files)
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the book of %s" % report.book))
        said = {
            name: [{key: entry[key] for key in report.said} for entry in entries] for name, entries in lists.items()
        }
        result.update(changed=False, files=files, **said)
        return result


def made_folder(directory: str) -> str:
    """The absolute path of a folder for reports, which is made where it is not there, readable by nobody else.

    Args:
        directory: the folder.

    Raises:
        AnsibleActionFail: it cannot be made; says why.
    """
    path = os.path.abspath(directory)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise AnsibleActionFail("%s: %s" % (path, error.strerror)) from None
    return path


def named_record(about: Mapping[str, Any], kind: str, ended: str) -> dict[str, Any]:
    """What proves an erasure, with its name as ``record``, which holds the beginning of the hash of the rest.

    Args:
        about: it, plain values.
        kind: what the name begins with.
        ended: when it ended, UTC, ISO 8601.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    return {**about, "record": "%s-%s-%s" % (kind, ended.replace("-", "").replace(":", ""), digest[:16])}


def written_record(about: Mapping[str, Any], directory: str) -> str:
    """Write a record's file, readable by nobody else.

    Args:
        about: as `named_record` gives it.
        directory: where to.

    Returns:
        The file's path.

    Raises:
        AnsibleActionFail: it cannot be written; says why.
    """
    path = os.path.join(made_folder(directory), about["record"] + ".json")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    except OSError as error:
        raise AnsibleActionFail("%s: %s" % (path, error.strerror)) from None
    kept_files.note([path])
    return path
