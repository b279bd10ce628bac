# SPDX-License-Identifier: GPL-3.0-or-later
"""What is forked does not collect what it inherited."""

from __future__ import annotations

import subprocess
import sys

from kijun_tools.tree import ROOT

SCRIPT = """
import gc, os, sys
sys.path.insert(0, "collections")
from ansible_collections.kijun.baseline.plugins.plugin_utils.workers import THRESHOLD, lighten_forks
inherited = [[] for _ in range(20_000)]
def seen_by_a_child():
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    frozen = gc.get_freeze_count() > len(inherited)
    own = []
    own.append(own)
    del own
    os._exit(frozen + 2 * (gc.get_threshold()[0] == THRESHOLD) + 4 * (gc.collect() > 0))
before = seen_by_a_child()
lighten_forks()
lighten_forks()
print(before, seen_by_a_child(), gc.get_threshold()[0] == THRESHOLD)
"""


def test_a_fork_collects_its_own_alone() -> None:
    # A process of its own: what is registered for forks stays for a process's life.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["4", "7", "False"]
