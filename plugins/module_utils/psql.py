# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one script of SQL on a host's own PostgreSQL, as its superuser, without showing what is in it."""

from __future__ import annotations

import json
import os
import subprocess

TIMEOUT = 60
"""Seconds that a script may take."""

QUIET = "-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1 -c lock_timeout=20s"
"""Keeps a script's statements out of the server's log."""


def main(argument: str) -> None:
    """Run the script, and print what came of it.

    Args:
        argument: JSON with ``version`` (of PostgreSQL, such as 17), ``script`` (for psql(1), which stops at the first
            error) and ``secret`` (whether the server's log must not have its statements).
    """
    asked = json.loads(argument)
    program = "/usr/lib/postgresql/%s/bin/psql" % asked["version"]
    if not os.path.exists(program):
        print(json.dumps({"installed": False, "output": [], "problem": ""}))
        return
    settings = ["ON_ERROR_STOP=1", "VERBOSITY=terse", "SHOW_CONTEXT=never"]
    done = subprocess.run(
        [program, "-X", "-q", "-A", "-t", *("--set=%s" % setting for setting in settings), "--dbname=postgres"],
        input=asked["script"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PGOPTIONS": QUIET if asked["secret"] else ""},
        user="postgres",
        group="postgres",
        extra_groups=[],
    )
    problem = done.stderr.strip().replace("\n", " / ") if done.returncode else ""
    print(json.dumps({"installed": True, "output": done.stdout.splitlines(), "problem": problem}))
