# SPDX-License-Identifier: GPL-3.0-or-later
"""What fifty files in one step cost, compared with one: plays on a real host of the lab, from start to end.

Run it with the lab up:  .venv/bin/python tests/bench/bench_config_files.py [HOST]
The bar is 1.5 for each ratio: first write, nothing to change, and all files replaced.
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BAR = 1.5
ROUNDS = 7
# In this order, and what the templates are given: the third finds every file different.
KINDS = {"first write": 1, "no change": 1, "replacement": 2}
TEMPLATE = """# {{ inventory_hostname }} {{ number }}
{% for word in range(20) %}
key{{ word }} = {{ word * 2 }}
{% endfor %}
"""


def seconds(host: str, folder: Path, task: dict[str, Any], number: int = 1) -> float:
    """Time one play of one task, from the start of ansible-playbook to its end."""
    play = {"hosts": host, "become": True, "gather_facts": False, "vars": {"number": number}, "tasks": [task]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(folder / "play.yml"), "-i", "inventories/lab"]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def step(count: int, directory: str) -> dict[str, Any]:
    """A step of that many files, each from a template of its own."""
    files = [{"path": f"{directory}/{number}.conf", "template": f"{number}.j2"} for number in range(count)]
    return {"name": "Step", "kijun.baseline.config_files": {"files": files}}


def measure(host: str) -> dict[str, float]:
    """Take the medians; the runs of the four kinds alternate, so that a busy moment meets all of them."""
    taken: dict[str, list[float]] = {}
    ping = {"name": "Ping", "ansible.builtin.ping": None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "templates").mkdir()
        for number in range(50):
            (folder / f"templates/{number}.j2").write_text(TEMPLATE)
        seconds(host, folder, ping)
        for _ in range(ROUNDS):
            taken.setdefault("ping", []).append(seconds(host, folder, ping))
            for count in (1, 50):
                directory = f"/var/lib/kijun-bench/{secrets.token_hex(4)}"
                for kind, number in KINDS.items():
                    taken.setdefault(f"{kind}, {count}", []).append(
                        seconds(host, folder, step(count, directory), number)
                    )
        clean = {"name": "Clean", "ansible.builtin.file": {"path": "/var/lib/kijun-bench", "state": "absent"}}
        seconds(host, folder, clean)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> int:
    """Print the table; the exit status tells whether the bar is held."""
    host = sys.argv[1] if len(sys.argv) > 1 else "server12"
    taken = measure(host)
    print(f"a play that only pings: {taken['ping']:.2f} s")
    held = True
    for kind in KINDS:
        one, fifty = taken[f"{kind}, 1"], taken[f"{kind}, 50"]
        held &= fifty / one <= BAR
        print(f"{kind}: 1 file {one:.2f} s, 50 files {fifty:.2f} s, ratio {fifty / one:.2f} (bar {BAR})")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
