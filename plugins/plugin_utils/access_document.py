# SPDX-License-Identifier: GPL-3.0-or-later
"""The design of access rights as a document: from what roles are set to on hosts, and from the account ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent.parent / "roles"

SHOWN = ("login", "hosts", "groups", "sudo", "valid_until")
"""Fields of an account that say what it may do, and where."""

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """A value without what Ansible adds to it, as JSON has it; numbers that were given as text are text.

    Args:
        value: the value.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def design(rights: Mapping[str, Mapping[str, Any]], accounts: Iterable[Mapping[str, Any]]) -> Json:
    """Put a design together; hosts that are set alike stand together.

    Args:
        rights: host -> variable -> value.
        accounts: accounts of the ledger that are in force.
    """
    alike: dict[str, Json] = {}
    for host in sorted(rights):
        settings = plain(rights[host])
        group = alike.setdefault(canonical(settings), {"hosts": [], "settings": settings})
        group["hosts"].append(host)
    people = [{name: plain(account.get(name)) for name in SHOWN} for account in accounts]
    return {"hosts": list(alike.values()), "accounts": sorted(people, key=lambda account: str(account["login"]))}


def canonical(value: Any) -> str:
    """The one way of writing a value as JSON.

    Args:
        value: what `plain` gives.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(document: str) -> str:
    """SHA-256 of a document, in hexadecimal.

    Args:
        document: its text.
    """
    return hashlib.sha256(document.encode()).hexdigest()


def meanings() -> dict[str, str]:
    """Variable -> what it means: the first sentence of its role's documentation."""
    found = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        specification = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        for name, option in (specification.get("options") or {}).items():
            text = option.get("description") or ""
            found[name] = " ".join(str(text[0] if isinstance(text, list) else text).split())
    return found


def changes(before: Json | None, after: Json) -> list[str]:
    """What differs between two versions of a design, one line each.

    Args:
        before: the version in force; None when there is none.
        after: the new one.
    """
    if before is None:
        return ["the first version"]
    old, new = _flat(before), _flat(after)
    lines = ["%s: %s, was %s" % (n, canonical(new[n]), canonical(old[n])) for n in new if n in old and new[n] != old[n]]
    lines += ["%s: %s, new" % (name, canonical(new[name])) for name in new if name not in old]
    return lines + ["%s: gone, was %s" % (name, canonical(old[name])) for name in old if name not in new]


def _flat(document: Json) -> dict[str, Any]:
    found = {
        "%s %s" % (host, name): value
        for group in document["hosts"]
        for host in group["hosts"]
        for name, value in group["settings"].items()
    }
    found.update({"account %s" % account["login"]: account for account in document["accounts"]})
    return dict(sorted(found.items()))


def page(name: str, document: Json, about: Mapping[str, Any]) -> str:
    """The document as Markdown. Values stand in blocks of YAML, where nothing in them is read as Markdown.

    Args:
        name: the design's name.
        document: the design.
        about: lines at its head: version, digest, approver, ...
    """
    lines = ["# Design of access rights: %s / アクセス権設計書" % name, ""]
    lines += ["- %s: %s" % (key, value) for key, value in about.items()]
    known = meanings()
    for group in document["hosts"]:
        lines += ["", "## %s" % ", ".join(group["hosts"]), ""]
        for variable, value in sorted(group["settings"].items()):
            text = known.get(variable, "")
            lines += _block([*(["# " + text] if text else []), *_yaml({variable: value})])
    lines += ["", "## Accounts / アカウント", "", *_block(_yaml(document["accounts"]))]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=110).splitlines()


def _block(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]
