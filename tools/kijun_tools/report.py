# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the page of a kept audit again, from its JSON records; nothing of Ansible is loaded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import tree

sys.path.insert(0, str(tree.ROOT / "collections"))

from ansible_collections.kijun.baseline.plugins.plugin_utils.report import (
    EvidenceError,
    clause_titles,
    load_run,
    render_run,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, and say where the page is.

    :param arguments: the command line without the program's name; the process's own when None.
    :returns: the exit status: 0, or 1 when a run cannot be read or the page cannot be written.
    """
    parser = argparse.ArgumentParser(prog="kijun-report", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="a run's directory, such as reports/latest")
    parser.add_argument("--before", type=Path, metavar="RUN_DIR", help="an earlier run to compare with")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the page (default: RUN_DIR/report.html)")
    asked = parser.parse_args(arguments)
    output = asked.output or asked.run.resolve() / "report.html"
    try:
        before = load_run(asked.before) if asked.before else None
        render_run(load_run(asked.run), clause_titles(), output, before)
    except (EvidenceError, OSError) as error:
        print(f"kijun-report: {error}", file=sys.stderr)
        return 1
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
