# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs that users run approved programs only (docs/measurements.md, Client).

    KIJUN_LAB=44 .venv/bin/molecule converge -s client
    KIJUN_LAB=44 .venv/bin/python tests/bench/bench_programs.py [HOST]

As a user, with fapolicyd deciding and without it, by turns: starting a small program, starting Python, reading files;
and how much memory fapolicyd has, and how long it takes to start.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "lab")]

from kijun_hosts import Machine  # noqa: E402 (its place is not on the path by itself)

USER = "kijunbench"
TURNS = 5
WORK = """
import json, os, subprocess, time
taken = {}
began = time.monotonic()
for _ in range(500):
    os.waitpid(os.posix_spawn("/usr/bin/true", ["true"], {}), 0)
taken["starting a small program"] = (time.monotonic() - began) / 500
began = time.monotonic()
for _ in range(20):
    subprocess.run(["/usr/bin/python3", "-c", "import json, argparse, subprocess"], check=True)
taken["starting Python with three modules"] = (time.monotonic() - began) / 20
files = [os.path.join(at, name) for at, _, names in os.walk("/usr/share") for name in names][:3000]
began = time.monotonic()
for file in files:
    try:
        with open(file, "rb") as opened:
            opened.read(4096)
    except OSError:
        pass
taken["reading the beginning of a file"] = (time.monotonic() - began) / len(files)
print(json.dumps(taken))
"""


def work(host: Machine) -> dict[str, float]:
    """What a user does once, and how long each thing takes, in seconds."""
    found: dict[str, float] = json.loads(host.ok(f"runuser -u {USER} -- python3 /usr/local/share/kijunbench.py"))
    return found


def main() -> None:
    """Measure, and print a table."""
    host = Machine(sys.argv[1] if len(sys.argv) > 1 else "client13")
    host.ok(f"id {USER} >/dev/null 2>&1 || useradd -m {USER}")
    host.ok(f"cat >/usr/local/share/kijunbench.py <<'END'\n{WORK}\nEND\nchmod 644 /usr/local/share/kijunbench.py")
    taken: dict[str, dict[str, list[float]]] = {}
    starts, memory = [], ""
    try:
        work(host)
        for _ in range(TURNS):
            for decides in ("start", "stop"):
                began, ended = host.ok(f"date +%s.%N; systemctl {decides} fapolicyd.service; date +%s.%N").split()
                for what, seconds in work(host).items():
                    taken.setdefault(what, {}).setdefault(decides, []).append(seconds)
                if decides == "start":
                    starts.append(float(ended) - float(began))
                    memory = host.ok("grep VmHWM /proc/$(pidof fapolicyd)/status").split(":")[1].strip()
    finally:
        host.run(f"systemctl start fapolicyd.service; rm /usr/local/share/kijunbench.py; userdel -r {USER}")
    for what, by in taken.items():
        decided, free = (statistics.median(by[name]) * 1000 for name in ("start", "stop"))
        print(f"{what:36} {free:8.3f} ms without, {decided:8.3f} ms with it ({decided - free:+.3f} ms)")
    print(f"its start {statistics.median(starts):.1f} s; its memory at most {memory}")


if __name__ == "__main__":
    main()
