# SPDX-License-Identifier: GPL-3.0-or-later
"""Work trails of runs: what they printed of changes and failures, compressed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ...journal.words import LARGEST_IN_LEDGER
from ..book import Action, Book, Change, Moment, State
from ..errors import Problem
from .values import Name

CLAUSE = "GL-3.2-5"


class WorkTrail(pydantic.BaseModel):
    """The trail of one run.

    Attributes:
        id: the run's entry in the journal.
        status: always kept.
        sha256: of the compressed trail, in hexadecimal.
        content: the trail: text, compressed with gzip, as Base64.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    id: Name
    status: Literal["kept"]
    sha256: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    content: Annotated[str, pydantic.StringConstraints(max_length=LARGEST_IN_LEDGER * 4 // 3 + 4)]


class WorkTrails(Book):
    """The book of work trails."""

    name = "work_trails"
    title: ClassVar = {"en": "Work trails", "ja": "作業証跡"}
    model = WorkTrail
    key = "id"
    imported = "keep"
    actions: ClassVar = {
        "keep": Action(
            before=frozenset({""}),
            after="kept",
            fields=frozenset({"sha256", "content"}),
            required=("sha256", "content"),
            done=frozenset({"kept"}),
            clause=CLAUSE,
        )
    }
    headings: ClassVar = {
        "id": ("Run", "実行"),
        "status": ("Status", "状態"),
        "sha256": ("SHA-256", "ハッシュ"),
        "content": ("Trail", "証跡"),
    }

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """The content is what the hash is of."""
        try:
            digest = hashlib.sha256(base64.b64decode(after["content"], validate=True)).hexdigest()
        except binascii.Error:
            yield change.problem("content", "", "is no Base64", CLAUSE)
            return
        if digest != after["sha256"]:
            yield change.problem("sha256", after["sha256"], "is not of this content, which has %s" % digest, CLAUSE)
