# SPDX-License-Identifier: GPL-3.0-or-later
"""What a book is: a model of its entries, the actions on them, and the rules that hold.

To add a book: a pydantic model of an entry, its actions, and an entry in `books.BOOKS`. Everything else (chain,
concurrency, queries, export, import, verification, the page) is the engine's.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import pydantic

from .errors import Problem

ANY = frozenset({"*"})
"""Statuses of an action that may be done to every entry there is."""

SECRET = re.compile(r"PRIVATE KEY|AGE-SECRET-KEY")
"""What a complaint does not repeat, when somebody put it where a public key belongs."""

SHOWN = 200
"""Characters of a value that a complaint repeats."""


def one_line(text: str) -> str:
    """One line of text, in Unicode's composed form, with single blanks, and none around it. The blank of Japanese
    writing (U+3000) is a blank like any other, so that one name is not two.

    Args:
        text: the text.

    Raises:
        ValueError: it has line ends or characters that cannot be seen.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = unicodedata.normalize("NFC", text)
    wrong = sorted({"U+%04X" % ord(c) for c in text if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")})
    if wrong:
        raise ValueError("must be one line of visible characters; it has %s" % ", ".join(wrong))
    return " ".join(text.split())


def is_same_person(name: str, other: str) -> bool:
    """Whether two names, as people type them, are one: in upper or lower case, in full or half width."""
    return unicodedata.normalize("NFKC", name).casefold() == unicodedata.normalize("NFKC", other).casefold()


def may_approve(approver: str, people: Sequence[str]) -> bool:
    """Whether somebody is one of those who may approve.

    Args:
        approver: the name, as somebody typed it.
        people: those who may; anybody, where nobody is named.
    """
    return not people or any(is_same_person(approver, person) for person in people)


@dataclass(frozen=True)
class Change:
    """What somebody asks to be done to one entry.

    Attributes:
        key: the entry.
        action: one of the book's actions.
        payload: fields and their new values.
        approver: who approved it.
        ticket: the application or ticket behind it.
        version: the version of the entry that the asker saw; None when it does not matter.
        row: where it came from, for complaints.
    """

    key: str
    action: str
    payload: dict[str, Any] = field(default_factory=dict)
    approver: str = ""
    ticket: str = ""
    version: int | None = None
    row: int | None = None

    def problem(self, name: str, value: Any, reason: str, clause: str = "") -> Problem:
        """A complaint about this change."""
        text = str(value)
        if SECRET.search(text):
            text = "(a private key; it is not shown)"
        elif len(text) > SHOWN:
            text = "%s... (%d characters)" % (text[:SHOWN], len(text))
        return Problem(self.row, self.key, name, text, reason, clause)


class State(NamedTuple):
    """An entry as it is now.

    Attributes:
        key: its key.
        version: how many events it has.
        sequence: number of the newest of them.
        fields: its fields, `status` among them.
    """

    key: str
    version: int
    sequence: int
    fields: dict[str, Any]


NOTHING = State("", 0, 0, {})
"""The state of an entry that does not exist."""


@dataclass(frozen=True)
class Action:
    """One thing that can be done to an entry.

    Attributes:
        before: statuses that the entry may have; an empty text for one that does not exist yet; `ANY`.
        after: the status that it has then; None leaves it.
        fields: the fields that a change may set.
        required: those that it must set.
        approved: whether somebody other than the requester must have approved it.
        done: statuses in which there is nothing left to do when the fields are those asked for already.
        clause: the policy clause behind it.
    """

    before: frozenset[str]
    after: str | None
    fields: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    approved: bool = False
    done: frozenset[str] = frozenset()
    clause: str = ""


def is_repeated(action: Action, change: Change, before: State) -> bool:
    """Whether a change asks for what the entry says already: a list that is run again.

    Args:
        action: the change's.
        change: the change.
        before: the entry.
    """
    return before.fields.get("status") in action.done and all(
        str(before.fields.get(name)) == str(value) for name, value in change.payload.items()
    )


@dataclass(frozen=True)
class Moment:
    """Circumstances of a batch.

    Attributes:
        actor: who does it.
        at: when, as the ledger writes times.
        today: the date there.
        context: what the book's rules need to know from outside, such as the inventory; None when nothing is known.
    """

    actor: str
    at: str
    today: datetime.date
    context: Any


class Touched(NamedTuple):
    """An entry that a batch changes.

    Attributes:
        change: the last change to it.
        before: its fields before the batch; none where it is new.
        after: its fields after the batch.
    """

    change: Change
    before: dict[str, Any]
    after: dict[str, Any]


Find = Callable[[Mapping[str, Any]], Iterable[State]]
"""Looks for entries of the book by fields, as `Ledger.states` does."""


class Book:
    """Base of all books.

    Attributes:
        name: its name, such as accounts.
        title: what people call it, by language (en, ja).
        model: its entries. Every model has `status`, and dumps to text, whole numbers, booleans, lists and objects.
        key: the model's field that is the key.
        actions: what can be done, by name.
        headings: field -> (English, Japanese), in the order in which exports show them.
        imported: the action of imported rows that name none.
    """

    name: ClassVar[str]
    title: ClassVar[dict[str, str]]
    model: ClassVar[type[pydantic.BaseModel]]
    key: ClassVar[str]
    actions: ClassVar[dict[str, Action]]
    headings: ClassVar[dict[str, tuple[str, str]]]
    imported: ClassVar[str]

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Fields that follow from a change's circumstances, such as who approved it."""
        return {}

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """What is wrong with one change, beyond the model."""
        return ()

    def check_together(self, touched: Sequence[Touched], find: Find, moment: Moment) -> Iterable[Problem]:
        """What is wrong with the entries of a batch beside each other and beside all others.

        Args:
            touched: the entries that the batch changes.
            find: looks for entries as they were before the batch.
            moment: the batch's circumstances.
        """
        return ()


def cleaned(book: Book, change: Change) -> tuple[Change, list[Problem]]:
    """A change with its approver and ticket in the form that the model's fields get, and what is wrong with these.

    Args:
        book: the book.
        change: the change.
    """
    problems: list[Problem] = []
    clean: dict[str, Any] = {}
    for name in ("key", "approver", "ticket"):
        value = getattr(change, name)
        try:
            clean[name] = one_line(value)
            if name == "key" and clean[name] != value:
                raise ValueError("must have no blanks around it, and be in Unicode's composed form")
        except ValueError as error:
            problems.append(change.problem(book.key if name == "key" else name, value, str(error)))
    as_given = problems or all(getattr(change, name) == value for name, value in clean.items())
    return (change if as_given else replace(change, **clean)), problems


def next_state(book: Book, change: Change, before: State, moment: Moment) -> tuple[dict[str, Any], list[Problem]]:
    """Work out what a change makes of an entry.

    Args:
        book: the book.
        change: the change.
        before: the entry before it; `NOTHING` where there is none.
        moment: the batch's circumstances.

    Returns:
        The entry's fields afterwards (those before when the change is satisfied already), and what is wrong.
    """
    action = book.actions.get(change.action)
    if action is None:
        return {}, [change.problem("action", change.action, "known are %s" % ", ".join(book.actions))]
    problems = _wrong_fields(change, action)
    if problems:
        return {}, problems
    wanted = {**before.fields, book.key: change.key, **change.payload, **book.derived(change, before, moment)}
    status = before.fields.get("status", "")
    wanted["status"] = status or action.after
    after, problems = _validated(book, change, wanted)
    if not problems and (status in action.done or (action.done == ANY and status)) and after == before.fields:
        return before.fields, []
    if not (status in action.before or (action.before == ANY and status)):
        return {}, [_wrong_status(change, action, status)]
    if problems:
        return {}, problems
    if action.after is not None:
        after = {**after, "status": action.after}
    return after, [*_unapproved(change, action, after), *book.check(change, before, after, moment)]


def _wrong_fields(change: Change, action: Action) -> list[Problem]:
    problems = [
        change.problem(name, value, "%s sets only %s" % (change.action, ", ".join(sorted(action.fields)) or "nothing"))
        for name, value in change.payload.items()
        if name not in action.fields
    ]
    for name in action.required:
        if _is_empty(change.payload.get(name)):
            reason = "%s needs it" % change.action
            problems.append(change.problem(name, change.payload.get(name) or "", reason, action.clause))
    return problems


def _is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else value in (None, [], {})


def _wrong_status(change: Change, action: Action, status: str) -> Problem:
    allowed = " or ".join(sorted(name or "not there yet" for name in action.before)).replace("*", "in the ledger")
    reason = "%s is for an entry that is %s" % (change.action, allowed)
    return change.problem("status", status or "not in the ledger", reason, action.clause)


def _unapproved(change: Change, action: Action, after: dict[str, Any]) -> list[Problem]:
    if not action.approved:
        return []
    problems = []
    if not change.ticket:
        problems.append(change.problem("ticket", "", "%s needs an application's number" % change.action, action.clause))
    if not change.approver:
        problems.append(change.problem("approver", "", "%s needs an approver" % change.action, action.clause))
    elif is_same_person(change.approver, after.get("requester", "")):
        reason = "nobody approves what they themselves asked for"
        problems.append(change.problem("approver", change.approver, reason, action.clause))
    return problems


def _validated(book: Book, change: Change, wanted: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    try:
        return book.model.model_validate(wanted).model_dump(mode="json"), []
    except pydantic.ValidationError as error:
        return {}, [
            change.problem(
                ".".join(str(part) for part in fault["loc"]) or book.key,
                "" if fault["type"] == "missing" or not fault["loc"] else fault["input"],
                "is needed" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, "),
            )
            for fault in error.errors(include_url=False, include_context=False)
        ]
