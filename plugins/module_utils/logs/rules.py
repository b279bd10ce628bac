# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of log review: which records count, and how many of them are a finding. They are data; this reads them.

A rule is a mapping:

- ``id``, ``title`` (``en``, ``ja``), ``severity`` (low, medium, high, critical), ``clauses``;
- ``kinds``: records of which kinds it looks at;
- ``words``: texts of which one must stand in the line, as it is stored: what makes a rule cheap;
- ``where``: field of the record -> values of which it must have one, as ``uid: ["0"]``, which the kernel vouches for;
- ``patterns``: regular expressions of Python, of which one must be found in the message. Named groups become fields;
- ``unless``: regular expressions of which none may be found in it;
- ``by``: fields that must be the same for records to be counted together; ``sender`` is the proven name;
- ``least`` and ``seconds``: how many within how long are a finding. Without them each record is one;
- ``distinct``: field -> how many different values of it there must be among these;
- ``total``: field -> what the sum of its numbers must come to, instead of their count;
- ``then``: ``block``: addresses of the finding are to be blocked.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .records import Fields, Line

SEVERITIES = ("low", "medium", "high", "critical")
KINDS = ("authentication", "privilege", "access", "application", "system", "audit", "usage", "session", "journal")
LONGEST_WINDOW = 3600
"""Seconds: what a watcher that starts again has to read once more."""

MOST = 1000
"""Records that a rule may ask for; what is counted is held in memory."""

KEYS = {
    "id": str,
    "title": dict,
    "severity": str,
    "clauses": list,
    "kinds": list,
    "words": list,
    "where": dict,
    "patterns": list,
    "unless": list,
    "by": list,
    "least": int,
    "seconds": int,
    "distinct": dict,
    "total": dict,
    "then": str,
}
NEEDED = ("id", "title", "severity", "kinds", "words")


class Rule:
    """One rule.

    Args:
        about: the mapping.

    Raises:
        ValueError: it is not of that form; says what is wrong.
    """

    def __init__(self, about: Any) -> None:
        wrong = complaints(about)
        if wrong:
            raise ValueError("; ".join(wrong))
        self.id: str = about["id"]
        self.title: dict[str, str] = about["title"]
        self.severity: str = about["severity"]
        self.clauses: list[str] = list(about.get("clauses", []))
        self.kinds = frozenset(kind.encode() for kind in about["kinds"])
        self.words = tuple({form for word in about["words"] for form in stored_forms(word)})
        self.where = {name: frozenset(map(str, values)) for name, values in about.get("where", {}).items()}
        self.patterns = [re.compile(pattern) for pattern in about.get("patterns", [])]
        self.unless = [re.compile(pattern) for pattern in about.get("unless", [])]
        self.by: tuple[str, ...] = tuple(about.get("by", ["sender"]))
        self.least: int = int(about.get("least", 1))
        self.seconds: int = int(about.get("seconds", 0))
        self.distinct: dict[str, int] = {name: int(count) for name, count in about.get("distinct", {}).items()}
        self.total: tuple[str, int] | None = next(((n, int(s)) for n, s in about.get("total", {}).items()), None)
        self._wanted = {*self.by, *self.distinct, *((self.total[0],) if self.total else ())}
        self.blocks = about.get("then") == "block"

    def match(self, line: Line, record: Fields) -> dict[str, str] | None:
        """What of a record the rule needs to know; None when it does not count.

        Args:
            line: the line, in which one of the words stands.
            record: what it says.
        """
        for name, values in self.where.items():
            if (record.get(name) or "") not in values:
                return None
        message = record.get("msg") or ""
        known: dict[str, str] = {}
        for pattern in self.patterns:
            found = pattern.search(message)
            if found:
                known = {name: value for name, value in found.groupdict().items() if value is not None}
                break
        else:
            if self.patterns:
                return None
        if self.unless and any(pattern.search(message) for pattern in self.unless):
            return None
        for name in self._wanted:
            if name not in known:
                value = line.file.sender if name == "sender" else record.get(name)
                if value is not None:
                    known[name] = value
        return known


class Rules:
    """All rules, so arranged that a line that none is about costs little.

    Args:
        rules: the mappings.

    Raises:
        ValueError: one is wrong, or two have one id.
    """

    def __init__(self, rules: list[Any]) -> None:
        self.rules = [Rule(about) for about in rules]
        ids = [rule.id for rule in self.rules]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError("two rules have the id %s" % ", ".join(twice))
        self.by_kind: dict[bytes, list[tuple[tuple[bytes, ...], Rule]]] = {}
        for rule in self.rules:
            for kind in rule.kinds:
                self.by_kind.setdefault(kind, []).append((rule.words, rule))
        # One search for the words of all rules of a kind: most lines have none.
        self.words = {
            kind: re.compile(b"|".join(sorted({re.escape(word) for words, _ in rules for word in words})))
            for kind, rules in self.by_kind.items()
        }
        self.window = max((rule.seconds for rule in self.rules), default=0)

    def matches(self, line: Line) -> list[tuple[Rule, dict[str, str]]]:
        """The rules that a line counts for, with what each needs to know."""
        words = self.words.get(line.kind)
        if words is None or not words.search(line.text):
            return []
        record = Fields(line.text)
        found = []
        for rule_words, rule in self.by_kind[line.kind]:
            for word in rule_words:
                if word in line.text:
                    known = rule.match(line, record)
                    if known is not None:
                        found.append((rule, known))
                    break
        return found


def stored_forms(text: str) -> tuple[bytes, ...]:
    """How a text may stand within a record: JSON, where a backslash may stand before a slash (RFC 8259, section 7).

    Args:
        text: the text.
    """
    stored = json.dumps(text, ensure_ascii=False)[1:-1].encode()
    return (stored, stored.replace(b"/", b"\\/")) if b"/" in stored else (stored,)


def complaints(about: Any) -> list[str]:
    """What is wrong with a rule, a text each; nothing when it is as it must be.

    Args:
        about: what should be a mapping as this module's text says.
    """
    if not isinstance(about, dict):
        return ["a rule is a mapping, not %r" % (about,)]
    name = about.get("id") if isinstance(about.get("id"), str) else about
    wrong = ["rule %s: %s is missing" % (name, key) for key in NEEDED if not about.get(key)]
    for key, value in about.items():
        kind = KEYS.get(key)
        if kind is None:
            wrong.append("rule %s: %s is not known; known are %s" % (name, key, ", ".join(KEYS)))
        elif not isinstance(value, kind) or isinstance(value, bool):
            wrong.append("rule %s: %s is %r, and must be a %s" % (name, key, value, kind.__name__))
    return wrong or list(_wrong_values(str(name), about))


def _wrong_values(name: str, about: dict[str, Any]) -> list[str]:
    """What is wrong with the values of a rule whose types are right."""
    wrong = []
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name):
        wrong.append("id must be small letters, digits and '-', at most 64")
    if set(about["title"]) != {"en", "ja"}:
        wrong.append("title needs en and ja")
    if about["severity"] not in SEVERITIES:
        wrong.append("severity %r must be one of %s" % (about["severity"], ", ".join(SEVERITIES)))
    if not set(map(str, about["kinds"])) <= set(KINDS):
        wrong.append("kinds %r must be of %s" % (about["kinds"], ", ".join(KINDS)))
    for key in ("clauses", "kinds", "words", "patterns", "unless", "by"):
        if not all(isinstance(item, str) and item for item in about.get(key, [])):
            wrong.append("%s must be texts" % key)
            return ["rule %s: %s" % (name, text) for text in wrong]
    if min(map(len, about["words"])) < 3:
        wrong.append("each of words must have three characters or more, so that few lines have it")
    for pattern in (*about.get("patterns", []), *about.get("unless", [])):
        try:
            re.compile(pattern)
        except re.error as error:
            wrong.append("%r is no regular expression: %s" % (pattern, error))
    if not all(isinstance(values, list) for values in about.get("where", {}).values()):
        wrong.append("where must be lists of values by field")
    least, window = about.get("least", 1), about.get("seconds", 0)
    if not 1 <= least <= MOST:
        wrong.append("least %s must be from 1 to %d" % (least, MOST))
    if not 0 <= window <= LONGEST_WINDOW:
        wrong.append("seconds %s must be from 0 to %d" % (window, LONGEST_WINDOW))
    counting = least > 1 or about.get("distinct") or about.get("total")
    if counting and not window:
        wrong.append("what is counted needs seconds")
    for key in ("distinct", "total"):
        if not all(isinstance(count, int) and count > 0 for count in about.get(key, {}).values()):
            wrong.append("%s must be numbers by field" % key)
    if len(about.get("total", {})) > 1:
        wrong.append("total is of one field")
    if about.get("then", "block") != "block":
        wrong.append("then %r must be block, or left out" % about["then"])
    if about.get("then") and "(?P<address>" not in " ".join(about.get("patterns", [])):
        wrong.append("then: block needs a group named address in patterns")
    return ["rule %s: %s" % (name, text) for text in wrong]
