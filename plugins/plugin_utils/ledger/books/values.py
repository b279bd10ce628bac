# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of fields that the models of several books have."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

import pydantic

from ..book import one_line


def _filled(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _iso_date(value: Any) -> Any:
    """A date, or one written as YYYY-MM-DD; pydantic would take numbers for seconds since 1970 as well."""
    if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date | str | None):
        raise ValueError("must be a date, YYYY-MM-DD")
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("must be a date, YYYY-MM-DD")
    return value


def sorted_set(values: list[str]) -> list[str]:
    """Each name once, in order.

    Args:
        values: the names.
    """
    return sorted(set(values))


Text = Annotated[str, pydantic.StringConstraints(max_length=500), pydantic.AfterValidator(one_line)]
FilledText = Annotated[Text, pydantic.AfterValidator(_filled)]
Name = Annotated[
    str,
    pydantic.StringConstraints(max_length=128),
    pydantic.AfterValidator(one_line),
    pydantic.AfterValidator(_filled),
]
Date = Annotated[datetime.date, pydantic.BeforeValidator(_iso_date)]
Names = Annotated[list[Name], pydantic.AfterValidator(sorted_set)]
