# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the file inventory takes for half a million files, on a real host of the lab.

Run it with the lab up:  .venv/bin/python tests/bench/bench_inventory.py [HOST]
The bar is 10 seconds of the host. The first walk may find the files in the cache or not; the median of the walks after
it is what is held against the bar.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles" / "filesystem" / "files" / "file-inventory"
BAR = 10.0
ROUNDS = 3
FILES, IN_ONE = 500_000, 100
"""How many files, and how many of them in one directory; every fifth is executable."""

MAKE = f"""
import os
os.umask(0o022)
for folder in range({FILES // IN_ONE}):
    path = '/srv/kijun-bench/%02d/%d' % (folder % 100, folder)
    os.makedirs(path)
    for number in range({IN_ONE}):
        os.close(os.open('%s/%d' % (path, number), os.O_CREAT | os.O_WRONLY, 0o755 if number % 5 == 0 else 0o644))
"""
WALK = """
import resource, subprocess
subprocess.run(
    ["python3", "/srv/file-inventory", "/srv/settings.json", "/srv/result.json"], check=True, stdout=subprocess.DEVNULL
)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""
SETTINGS = {"excluded": ["/proc", "/sys"], "types": ["ext4", "overlay", "tmpfs", "xfs", "btrfs"]}


def on(host: str, *command: str, given: str = "") -> str:
    """Run a command on a host as root."""
    done = subprocess.run(
        ["lab/lab", "exec", host, "--", *command], cwd=ROOT, input=given, capture_output=True, text=True, check=True
    )
    return done.stdout


def main(host: str) -> int:
    """Make the files once, walk, and hold the median against the bar."""
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    on(host, "python3", "-c", write, "/srv/file-inventory", PROGRAM.read_text(encoding="utf-8"))
    on(host, "python3", "-c", write, "/srv/settings.json", json.dumps(SETTINGS))
    on(host, "sh", "-c", f'test -d /srv/kijun-bench || python3 -c "{MAKE}"')
    taken, worked = [], []
    for _ in range(ROUNDS + 1):
        worked.append(float(on(host, "python3", "-c", WALK)))
        record = json.loads(on(host, "cat", "/srv/result.json"))
        assert record["files"] >= FILES, record["files"]
        taken.append(record["seconds"])
    median = statistics.median(taken[1:])
    print(
        f"{record['files']} files: first walk {taken[0]:.1f} s, then {median:.1f} s (bar {BAR:.0f} s), "
        f"of which the processor {statistics.median(worked[1:]):.1f} s"
    )
    return int(median > BAR)


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["server13"])))
