# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of records of ten hosts, made up, reviewed with the role's rules; and a user's month out of as many days.

``python tests/bench/bench_log_review.py [RECORDS] [DAYS]``: 10,000,000 and 30 without. The bars: a day within 300 s and
500 MB, a user's month within 10 s. One day is made and reviewed; the others are copies of its index.
"""

from __future__ import annotations

import datetime
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

import yaml  # noqa: E402
from ansible_collections.kijun.baseline.plugins.module_utils.logs import blocks, search  # noqa: E402
from ansible_collections.kijun.baseline.plugins.module_utils.logs.review import Review, seconds_of_day  # noqa: E402
from ansible_collections.kijun.baseline.plugins.module_utils.logs.rules import Rules  # noqa: E402

SENDERS = 10
USERS = 200
DAY = "2026-11-22"

MESSAGES = (
    (70, "access", "nginx", '192.0.2.{n} - - [22/Nov/2026:05:15:51 +0000] \\"GET /item/{n} HTTP/1.1\\" 200 5{n}'),
    (20, "application", "shop", "order {n} was taken and paid, {n} items, nothing to remark on it at all"),
    (6, "system", "systemd", "Started session-{n}.scope - Session {n} of User {user}."),
    (
        2,
        "authentication",
        "sshd",
        "Accepted publickey for {user} from 192.0.2.{b} port {n} ssh2: ED25519 SHA256:abc{n}",
    ),
    (1, "authentication", "sshd", "Failed publickey for {user} from 198.51.100.{b} port {n} ssh2: ED25519"),
    (1, "privilege", "sudo", "   {user} : TTY=pts/{b} ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/systemctl {n}"),
)
"""Of a hundred records: how many, kind, program, message."""


def made(folder: Path, sender: int, records: int) -> int:
    """Write a sender's day; its size in bytes."""
    random.seed(sender)
    name, start = f"web{sender}.example.com", seconds_of_day(DAY)
    kinds = [message for message in MESSAGES for _ in range(message[0])]
    (folder / name).mkdir(parents=True)
    path = folder / name / f"{DAY}.log"
    with path.open("w", encoding="utf-8") as file:
        for seq in range(1, records + 1):
            moment = datetime.datetime.fromtimestamp(start + seq * 86000 / records, datetime.UTC).isoformat()
            _, kind, tag, text = kinds[random.randrange(100)]
            text = text.format(n=seq % 60000, b=seq % 250, user=f"user{random.randrange(USERS)}")
            record = (
                f'{moment} {name} {{"epoch":"9f84c5d2e1a04b7f8f6c0d1e2a3b4c5d", "seq":{seq}, "time":"{moment}", '
                f'"host":"web{sender}", "kind":"{kind}", "facility":"auth", "severity":"info", "tag":"{tag}", '
                f'"pid":"{seq % 30000}", "unit":"{tag}.service", "uid":"0", "exe":"/usr/sbin/{tag}", "comm":"{tag}", '
                f'"msg":"{text}"}}\n'
            )
            file.write(record)
    size = path.stat().st_size
    blocks.compress(str(path), f"{path}.gz")
    path.unlink()
    return size


def main() -> None:
    """Make, review, search, and print."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    rules = yaml.safe_load((ROOT / "roles/log_review/defaults/main/rules.yml").read_text("utf-8"))["log_review_rules"]
    with tempfile.TemporaryDirectory() as text:
        store, state = Path(text, "hosts"), Path(text, "state")
        size = sum(made(store, sender, records // SENDERS) for sender in range(SENDERS))
        print(f"{records:,} records, {size / 1e6:,.0f} MB, {size // records} bytes each")
        settings = {"silent_minutes": 35, "senders": [], "days": 366}
        told: list[dict[str, object]] = []
        began, used = time.monotonic(), time.process_time()
        about = Review(str(store), str(state), Rules(rules), settings, told.append).review(DAY)
        seconds = time.monotonic() - began
        assert about["records"] == records // SENDERS * SENDERS
        # One that only writes would have the same size in memory: it is this process's largest, making included.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        index = state / "index" / f"{DAY}.sqlite"
        large = index.stat().st_size / 1e6
        print(
            f"reviewed in {seconds:.1f} s ({time.process_time() - used:.1f} s of the processor), "
            f"{records / seconds:,.0f}/s, {peak:.0f} MB, {len(told)} findings, index {large:.0f} MB"
        )
        first = datetime.date.fromisoformat(DAY) - datetime.timedelta(days=days - 1)
        sender = store / "web0.example.com"
        for number in range(days - 1):
            day = (first + datetime.timedelta(days=number)).isoformat()
            shutil.copy(index, state / "index" / f"{day}.sqlite")
            (sender / f"{day}.log.gz").touch()
        question = search.Question(seconds_of_day(first.isoformat()), seconds_of_day(DAY) + 86400, user="user7")
        began = time.monotonic()
        lines = sum(1 for _ in search.Search(str(store), str(state), question).found())
        print(f"a user's month: {time.monotonic() - began:.1f} s, {lines:,} lines of the last day, {days} indexes read")


if __name__ == "__main__":
    main()
