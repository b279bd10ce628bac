# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills in the templates of controls: each once, and what many hosts have in common once for all of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

WORD = re.compile(r"[A-Za-z_]\w*")

DYNAMIC = frozenset(
    {"lookup", "query", "q", "hostvars", "vars", "varnames", "now", "random", "shuffle", "password_hash"}
)
"""Words of templates whose outcome does not follow from the variables that they name."""


def is_template(text: str) -> bool:
    """Whether there is anything to fill in."""
    return "{{" in text or "{%" in text


def texts(value: Any) -> Iterator[str]:
    """The texts in a value, at any depth.

    Args:
        value: text, numbers, and lists and mappings of them.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from texts(name)
            yield from texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from texts(member)


def _survives(value: Any) -> bool:
    """Whether JSON gives a value back as it was."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


class Filler:
    """Fills templates in, each distinct one once. Whatever is no template is passed by: most of a control is not, and
    Ansible's own way through it costs ten times as much.

    Args:
        template: fills in one template.
    """

    def __init__(self, template: Callable[[Any], Any]) -> None:
        self._template = template
        self._known: dict[str, Any] = {}

    def __call__(self, value: Any) -> Any:
        """The value with its templates filled in.

        Args:
            value: as it is written: text, numbers, and lists and mappings of them.
        """
        if isinstance(value, str):
            if not is_template(value):
                return value
            if value not in self._known:
                self._known[value] = self._fill(value)
            return self._known[value]
        if isinstance(value, dict):
            return {name: self(member) for name, member in value.items()}
        return [self(member) for member in value] if isinstance(value, list | tuple) else value

    def head(self, control: Any) -> Any:
        """A control filled in, but for the list of what it expects.

        Args:
            control: as it is written.
        """
        if not isinstance(control, dict) or not isinstance(control.get("expect"), list | tuple):
            return self(control)
        return {name: value if name == "expect" else self(value) for name, value in control.items()}

    def _fill(self, text: str) -> Any:
        return self._template(text)


class SharingFiller(Filler):
    """A filler that keeps what it filled in for the other hosts of the run.

    Ansible fills templates in for each host anew, in a process of its own: a fifth of a second for the controls, most
    of which come out the same on every host. What a template comes to is kept under a digest of its text and of every
    variable that it names, directly or through others, as they are written: a host of which any of them differs has its
    own.

    Args:
        template: fills in one template.
        variables: the host's, as they are written.
        file: where what was filled in is kept: in a folder of this run alone, which nobody else reads.
    """

    def __init__(self, template: Callable[[Any], Any], variables: Mapping[str, Any], file: Path) -> None:
        super().__init__(template)
        self._variables = variables
        self._file = file
        self._named: dict[str, frozenset[str]] = {}
        self._digests: dict[str, str] = {}
        self._grown = False
        try:
            self._shared: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._shared = {}

    def keep(self) -> None:
        """Leave what was new to the hosts that follow; of two hosts that do so at once, one is lost, and done again."""
        if self._grown:
            beside = self._file.with_suffix(".%d" % os.getpid())
            beside.write_text(json.dumps(self._shared), encoding="utf-8")
            beside.replace(self._file)

    def _fill(self, text: str) -> Any:
        key = self._key(text)
        if key is None:
            return super()._fill(text)
        if key not in self._shared:
            value = super()._fill(text)
            if not _survives(value):
                return value
            self._shared[key] = value
            self._grown = True
        return self._shared[key]

    def _key(self, text: str) -> str | None:
        """What the outcome follows from; None when it is more than the variables."""
        words = set(WORD.findall(text))
        names: set[str] = set()
        waiting = words & self._variables.keys()
        while waiting:
            name = waiting.pop()
            names.add(name)
            inside = self._words(name)
            words |= inside
            waiting |= (inside & self._variables.keys()) - names
        if words & DYNAMIC:
            return None
        told = [text]
        for name in sorted(names):
            try:
                told.append(self._digest(name))
            except TypeError:  # a thing that is no data, such as a text of the vault: who knows what it comes to
                return None
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def _words(self, name: str) -> frozenset[str]:
        """The words of a variable's templates."""
        if name not in self._named:
            found = [WORD.findall(text) for text in texts(self._variables[name]) if is_template(text)]
            self._named[name] = frozenset(word for words in found for word in words)
        return self._named[name]

    def _digest(self, name: str) -> str:
        """A variable, as it is written, with the order of a mapping's members: what a template makes may follow it."""
        if name not in self._digests:
            written = json.dumps([name, self._variables[name]])
            self._digests[name] = hashlib.sha256(written.encode()).hexdigest()
        return self._digests[name]
