# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the scenario `logging`: two log servers and what sends to them."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kijun_hosts import Machine

INVENTORY = ("-i", "inventories/lab", "-i", "molecule/logging/inventory")
SERVERS = ("server12", "server13")
SENDERS = ("client12", "client13", "time1")
STORE = "/var/log/kijun/hosts"
RECEIVER = "kijun-log-receiver"

# Run on a log server: what it holds of a sender, in the order of its coming, the journal's book behind.
READ = """
import glob, json, sys
sender, needle, numbers = sys.argv[1:]
found = []
for path in sorted(glob.glob("/var/log/kijun/hosts/%s/*.log" % sender)):
    for line in open(path, "rb"):
        if not line.endswith(b"\\n"):
            # Just being written: what comes behind it would be read as a line by itself.
            break
        if needle.encode() not in line:
            continue
        received, name, record = line.decode("utf-8", "surrogateescape").rstrip("\\n").split(" ", 2)
        if numbers:
            # Not the commands that had them written, which are on record too.
            message = json.loads(record)["msg"]
            if message.startswith("n="):
                found.append(int(message[2:].split()[0]))
        else:
            found.append([received, name, record])
print(json.dumps(found))
"""


def machine(name: str) -> Machine:
    """A host of the scenario, whose playbooks know of the log servers."""
    found = Machine(name)
    found.inventory = INVENTORY
    return found


def records(server: Machine, sender: str, needle: str) -> list[dict[str, Any]]:
    """A sender's records on a log server in which a text is.

    Returns:
        The records as the sender composed them; ``received`` and ``sender`` are the server's words.
    """
    lines = json.loads(server.ok(shlex.join(["python3", "-c", READ, sender, needle, ""])))
    return [{**json.loads(record), "received": received, "sender": name} for received, name, record in lines]


def numbers(server: Machine, sender: str, needle: str) -> list[int]:
    """The numbers that messages ``n=NUMBER ...`` with a text in them have, in the order in which they came."""
    return json.loads(server.ok(shlex.join(["python3", "-c", READ, sender, needle, "numbers"])))


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Ask until the answer is not empty; the last answer in any case."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(0.5)
    return answer


def arrived(server: Machine, sender: str, needle: str, seconds: float = 30) -> list[dict[str, Any]]:
    """The records with a text in them, once there are any."""
    return wait_for(lambda: records(server, sender, needle), seconds)


def write_numbered(sender: Machine, path: str, count: int, word: str, pause: float = 0.0) -> None:
    """Have a program of a host write numbered lines of 300 bytes into one of its log files.

    Args:
        sender: the host.
        path: the file.
        count: how many.
        word: what stands in each of them.
        pause: seconds between each thousand.
    """
    sender.python(
        f"import time\nwith open({path!r}, 'a') as file:\n"
        f"    for n in range(1, {count} + 1):\n"
        f"        file.write(('n=%08d {word} ' % n).ljust(299, 'x') + '\\n')\n"
        f"        if n % 1000 == 0:\n            file.flush(); time.sleep({pause})\n"
    )


def all_there(server: Machine, sender: str, word: str, count: int, seconds: float = 120) -> list[int]:
    """The numbers on a log server, once it has every one of them, or when the time is over."""
    end = time.monotonic() + seconds
    # Counting lines is cheap; every number is read, over and over, only once there are as many.
    there = f"cat {STORE}/{sender}/*.log | grep -cF ' {word} '"
    wait_for(lambda: int(server.run(there).stdout) >= count, seconds)
    wait_for(lambda: len(set(numbers(server, sender, word))) == count, end - time.monotonic())
    return numbers(server, sender, word)


def assert_whole(found: list[int], count: int) -> None:
    """Every number came, and in its order; one that came again does not count."""
    first = list(dict.fromkeys(found))
    missing = sorted(set(range(1, count + 1)) - set(first))
    assert not missing, f"{len(missing)} of {count} are missing, the first ones {missing[:5]}"
    assert first == sorted(first), "not in the order in which they were written"


def auditor(folder: Path, monkeypatch: pytest.MonkeyPatch, area: str) -> Callable[..., dict[str, str]]:
    """What audits a host's controls of one area, and tells each one's verdict.

    Args:
        folder: where the reports go.
        monkeypatch: the test's.
        area: the controls' area, or their ids with commas between.

    Returns:
        What takes the host and further arguments of ansible-playbook.
    """

    def audit(host: Machine, *arguments: str) -> dict[str, str]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(folder))
        done = host.playbook("audit", "--tags", area, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((folder / "latest" / "hosts" / f"{host.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control["verdict"] for control in record["controls"]}

    return audit


def converge(limit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the scenario's playbook on some hosts."""
    # The last limit counts.
    return machine("time1").playbook("molecule/logging/converge.yml", "--limit", limit, *arguments)
