# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of one host, run on it: read the facts that controls name, once, and judge every control.

It travels as one archive on the standard input of the host's Python (see the action plugin), writes nothing, and
prints one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
from typing import Any, Callable

from .facts import FACTS
from .facts.host import Host
from .verdict import ERROR, Unreadable, judge_control, split_path

AT_ONCE = 2
"""Threads that read facts."""

Reader = Callable[[Host, "set[str]"], Any]


def wanted(controls: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The top-level facts that controls name, each with the second segments asked of it."""
    found: dict[str, set[str]] = {"os": set()}
    for control in controls:
        for expectation in [*control["expect"], *(control.get("applies_where") or [])]:
            segments = split_path(expectation["fact"])
            found.setdefault(segments[0], set()).update(segments[1:2])
    return found


def read_facts(host: Host, facts: dict[str, set[str]]) -> dict[str, Any]:
    """Read facts by the registry; one that fails as a whole stands in the tree as unreadable.

    Half of the time goes by in waiting for the host's own programs; another fact is read meanwhile.
    """
    tree: dict[str, Any] = {}
    waiting: list[tuple[str, Reader, set[str]]] = []
    # Modules are loaded here, one after the other, so that no thread sees a module that is half loaded.
    for name, keys in facts.items():
        try:
            waiting.append((name, _reader(name), keys))
        except Exception as error:  # what fails makes errors of its own controls, not of the whole audit
            tree[name] = Unreadable("%s: %s" % (name, error))

    def work() -> None:
        while waiting:
            try:
                name, reader, keys = waiting.pop()
            except IndexError:  # another thread was quicker
                return
            try:
                tree[name] = reader(host, keys)
            except Exception as error:  # as above
                tree[name] = Unreadable("%s: %s" % (name, error))

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tree


def _reader(name: str) -> Reader:
    module, function = FACTS[name].reader.split(":")
    found: Reader = getattr(importlib.import_module("." + module, __package__ + ".facts"), function)
    return found


def audit(controls: list[dict[str, Any]], root: str = "/") -> dict[str, Any]:
    """Audit a host.

    Args:
        controls: id, expect, and optionally applies_where, deviation and sensitive, with all values filled in.
        root: the host's file tree.

    Returns:
        os, kernel, time (UTC, ISO 8601), controls (verdicts, see `judge_control`) and problems (malformed lines).
    """
    host = Host(root)
    facts = read_facts(host, wanted(controls))
    judged = []
    for control in controls:
        try:
            judged.append(judge_control(control, facts))
        except Exception as error:  # as in read_facts: an error of this control alone
            judged.append({"id": control["id"], "verdict": ERROR, "reason": str(error), "checks": []})
    system = facts["os"] if isinstance(facts["os"], dict) else {}
    return {
        "os": system.get("pretty_name"),
        "kernel": system.get("kernel"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "controls": judged,
        "problems": sorted(host.problems, key=lambda problem: (problem["file"], problem["line"], problem["problem"])),
    }


def main(argument: str) -> None:
    """Audit this host and print the result.

    Args:
        argument: the controls as JSON.
    """
    print(json.dumps(audit(json.loads(argument))))
