# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clauses are claimed by controls, and which are still pending (policy/pending.yml)."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import tree

HEADER = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# Clauses that no control claims yet, by area. `tools/policy pending` writes this file; a test holds it to the register.
# `ceiling` is how many there may be: it only ever goes down.
---
"""


def pending(root: Path = tree.ROOT) -> dict[str, list[str]]:
    """Clauses that no control claims.

    Args:
        root: the checkout.

    Returns:
        Area -> clause ids, both sorted.
    """
    taken = tree.claimed(root)
    areas: dict[str, list[str]] = {}
    for identifier, clause in tree.register(root).items():
        if identifier not in taken:
            areas.setdefault(clause["area"], []).append(identifier)
    return {area: sorted(areas[area]) for area in sorted(areas)}


def listed(root: Path = tree.ROOT) -> dict[str, Any]:
    """policy/pending.yml as it is committed: ``ceiling`` and ``pending``."""
    found: dict[str, Any] = tree.load(root / "policy" / "pending.yml")
    return found


def render(areas: dict[str, list[str]], ceiling: int) -> str:
    """The text of policy/pending.yml."""
    lines = [f"ceiling: {ceiling}", "pending:"]
    for area, clauses in areas.items():
        lines += [f"  {area}:", *(f"    - {clause}" for clause in clauses)]
    return HEADER + "\n".join(lines) + "\n"


def summary(root: Path = tree.ROOT) -> str:
    """One line: how many clauses there are, are claimed, and are pending."""
    total, waiting = len(tree.register(root)), sum(map(len, pending(root).values()))
    return f"clauses: {total} in the register, {total - waiting} claimed by controls, {waiting} pending"


def write(root: Path = tree.ROOT) -> int:
    """Write policy/pending.yml anew and lower its ceiling.

    Args:
        root: the checkout.

    Returns:
        The exit status: 1 when there are more pending clauses than the ceiling allows; the file is then left alone.
    """
    file = root / "policy" / "pending.yml"
    areas = pending(root)
    count = sum(map(len, areas.values()))
    if file.exists() and count > listed(root)["ceiling"]:
        print(f"{count} clauses are pending, and the ceiling is {listed(root)['ceiling']}: claim them", file=sys.stderr)
        return 1
    file.write_text(render(areas, count), encoding="utf-8")
    print(summary(root))
    return 0


def count(root: Path = tree.ROOT) -> int:
    """Print the counts by status of controls and by area of pending clauses.

    Returns:
        The exit status, 0.
    """
    print(summary(root))
    for status, number in sorted(Counter(control["status"] for control in tree.controls(root)).items()):
        print(f"  {number:4} controls {status}")
    for area, clauses in pending(root).items():
        print(f"  {len(clauses):4} pending in {area}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``tools/policy``."""
    parser = argparse.ArgumentParser(prog="tools/policy", description="The clause register and what claims it.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("count", help="print how many clauses are claimed and pending")
    commands.add_parser("pending", help="write policy/pending.yml anew, lowering its ceiling")
    chosen = parser.parse_args(arguments).command
    return write() if chosen == "pending" else count()


if __name__ == "__main__":
    sys.exit(main())
