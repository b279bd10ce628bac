# SPDX-License-Identifier: GPL-3.0-or-later
"""The designs of access rights: what hosts were to grant to whom, from when on, and who approved it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Moment, State
from ..errors import Problem
from .values import Name, Names

CLAUSE = "SM-4.2.1-3"


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be a SHA-256 in hexadecimal")
    return text


class AccessDesign(pydantic.BaseModel):
    """One design. Its history, with who approved each version and when, is the entry's events.

    Attributes:
        name: what it is called, such as production.
        status: always in_force: the newest version is what holds.
        hosts: the hosts that it is for.
        digest: SHA-256 of the document, in hexadecimal.
        document: the design itself, as canonical JSON.
        requester: who entered it.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    name: Name
    status: Literal["in_force"]
    hosts: Annotated[Names, pydantic.Field(min_length=1)]
    digest: Annotated[str, pydantic.AfterValidator(_digest)]
    document: str
    requester: Name


class AccessDesigns(Book):
    """The book of designs of access rights."""

    name = "access_designs"
    title: ClassVar = {"en": "Designs of access rights", "ja": "アクセス権設計書"}
    model = AccessDesign
    key = "name"
    imported = "issue"
    actions: ClassVar = {
        "issue": Action(
            before=frozenset({"", "in_force"}),
            after="in_force",
            fields=frozenset({"hosts", "digest", "document"}),
            required=("hosts", "digest", "document"),
            approved=True,
            done=frozenset({"in_force"}),
            clause=CLAUSE,
        )
    }
    headings: ClassVar = {
        "name": ("Design", "設計書"),
        "status": ("Status", "状態"),
        "hosts": ("Hosts", "対象ホスト"),
        "digest": ("SHA-256", "ハッシュ"),
        "document": ("Document", "本文"),
        "requester": ("Requester", "申請者"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who entered this version."""
        same = before.fields.get("digest") == change.payload.get("digest")
        return {"requester": before.fields["requester"] if same else moment.actor}

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """A document that is not the one its digest is of."""
        digest = hashlib.sha256(after["document"].encode()).hexdigest()
        if digest != after["digest"]:
            yield change.problem("digest", after["digest"], "is not of this document, which has %s" % digest, CLAUSE)
