# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper of a log store, on real files with real signatures; it is told what time it is."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.logs.keeper import Keeper, set_flags

DAY = 86400
NOON = 1795348800  # 2026-11-22T12:00:00Z
SETTINGS = {"server": "log1", "days": 366, "journal_days": 1827}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """Two senders, with records of yesterday and of today."""
    folder = tmp_path / "store"
    for sender in ("web1", "web2"):
        (folder / "hosts" / sender).mkdir(parents=True)
        for day in ("2026-11-21", "2026-11-22"):
            text = "".join(f"{day}T00:00:00+00:00 {sender} {{}} {n}\n" for n in range(100))
            (folder / "hosts" / sender / f"{day}.log").write_text(text, encoding="utf-8")
            # Whatever day it is outside.
            os.utime(folder / "hosts" / sender / f"{day}.log", (NOON, NOON))
    yield folder
    let_go(folder)


def let_go(store: Path) -> None:
    """Take away what the keeper holds files by, as whoever is root can."""
    for path in store.rglob("*"):
        if path.is_file():
            set_flags(str(path), 0)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def keeper(store: Path, tmp_path: Path, told: list[str]) -> Callable[..., Keeper]:
    def make(days: float = 0, kept: int = 366) -> Keeper:
        return Keeper(
            {**SETTINGS, "days": kept},
            store=str(store),
            state=str(tmp_path / "state"),
            key=str(tmp_path / "key"),
            tell=lambda _, text: told.append(text),
            now=lambda: NOON + days * DAY,
        )

    return make


def old(store: Path, seconds: int = 3600) -> None:
    """Have the files of yesterday be written to so long before noon."""
    for path in store.glob("hosts/*/2026-11-21.log"):
        os.utime(path, (NOON - seconds, NOON - seconds))


def public(tmp_path: Path) -> str:
    return " ".join((tmp_path / "key.pub").read_text(encoding="ascii").split()[:2])


def test_a_day_that_is_over_is_closed_and_signed(
    keeper: Callable[..., Keeper], store: Path, tmp_path: Path, told: list[str]
) -> None:
    old(store)
    before = (store / "hosts/web1/2026-11-21.log").read_bytes()
    status = keeper().tidy()
    assert gzip.decompress((store / "hosts/web1/2026-11-21.log.gz").read_bytes()) == before
    assert not (store / "hosts/web1/2026-11-21.log").exists()
    assert (store / "hosts/web1/2026-11-22.log").exists()
    digest = json.loads((store / "digests/2026-11-21.json").read_text(encoding="utf-8"))
    assert [(file["sender"], file["records"]) for file in digest["files"]] == [("web1", 100), ("web2", 100)]
    assert status["unsigned"] == []
    assert (status["oldest"], json.loads((tmp_path / "state/status.json").read_text())) == ("2026-11-21", status)
    assert any("kijun-log-digest server=log1 day=2026-11-21" in text and "records=200" in text for text in told)
    assert keeper().verify(public(tmp_path)) == []
    told.clear()
    keeper().tidy()
    assert not [text for text in told if "digest" in text]


def test_what_is_closed_cannot_be_written_even_by_root(keeper: Callable[..., Keeper], store: Path) -> None:
    """Where the file system has such flags, and whoever runs this may set them; else the keeper says so."""
    old(store)
    if keeper().tidy()["not_append_only"]:
        assert os.geteuid() or "not" in keeper().tidy()["not_append_only"]
        return
    with pytest.raises(PermissionError):
        (store / "hosts/web1/2026-11-21.log.gz").write_bytes(b"")
    with pytest.raises(PermissionError):
        (store / "hosts/web1/2026-11-22.log").write_bytes(b"")
    with (store / "hosts/web1/2026-11-22.log").open("a", encoding="utf-8") as file:
        file.write("one more\n")


def test_what_is_still_written_to_is_not_closed(keeper: Callable[..., Keeper], store: Path) -> None:
    old(store, seconds=60)
    assert keeper().tidy()["oldest"] is None
    assert (store / "hosts/web1/2026-11-21.log").exists()


def tamper(store: Path, how: str) -> None:
    let_go(store)
    gz, digest = store / "hosts/web1/2026-11-21.log.gz", store / "digests/2026-11-21.json"
    if how == "a record":
        gz.write_bytes(gzip.compress(gzip.decompress(gz.read_bytes()).replace(b" 7\n", b" 8\n")))
    elif how == "a file gone":
        gz.unlink()
    elif how == "a file more":
        shutil.copytree(store / "hosts/web1", store / "hosts/web3")
    elif how == "digest":
        digest.write_text(digest.read_text().replace("web1", "web9"))
    elif how == "digest gone":
        digest.unlink()
    else:
        key = store / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, stdin=subprocess.DEVNULL)
        (store / "digests/2026-11-21.json.sig").unlink()
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "kijun-log-digest", digest]
        subprocess.run(sign, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a record", ["2026-11-21: web1/2026-11-21.log.gz was changed"]),
        ("a file gone", ["2026-11-21: web1/2026-11-21.log.gz is gone"]),
        ("a file more", ["2026-11-21: web3/2026-11-21.log.gz was added"]),
        (
            "digest",
            [
                "2026-11-21: the digest is not what was signed, or not by this key",
                "2026-11-21: web1/2026-11-21.log.gz was added",
                "2026-11-21: web9/2026-11-21.log.gz is gone",
            ],
        ),
        ("digest gone", ["2026-11-21: closed and not signed"]),
        ("another key", ["2026-11-21: the digest is not what was signed, or not by this key"]),
    ],
)
def test_what_was_changed_afterwards_shows(
    keeper: Callable[..., Keeper], store: Path, tmp_path: Path, how: str, said: list[str]
) -> None:
    old(store)
    keeper().tidy()
    tamper(store, how)
    assert keeper().verify(public(tmp_path)) == said


def test_a_day_taken_out_and_signed_anew_breaks_the_chain(
    keeper: Callable[..., Keeper], store: Path, tmp_path: Path
) -> None:
    old(store)
    keeper().tidy()
    keeper(days=1).tidy()
    assert keeper(days=1).verify(public(tmp_path)) == []
    let_go(store)
    for name in ("2026-11-21.json", "2026-11-21.json.sig"):
        (store / "digests" / name).unlink()
    for path in store.glob("hosts/*/2026-11-21.log.gz"):
        path.write_bytes(gzip.compress(b"nothing happened\n"))
    keeper(days=1).tidy()
    assert keeper(days=1).verify(public(tmp_path)) == ["2026-11-22: does not follow the digest of 2026-11-21"]


def test_what_comes_late_is_kept_and_told(keeper: Callable[..., Keeper], store: Path, told: list[str]) -> None:
    old(store)
    keeper().tidy()
    (store / "hosts/web1/2026-11-21.log").write_text("late\n", encoding="utf-8")
    old(store)
    keeper().tidy()
    assert (store / "hosts/web1/2026-11-21.log").read_text() == "late\n"
    assert any("written to after its day was signed" in text for text in told)


def test_room_that_is_lacking_is_told(keeper: Callable[..., Keeper], store: Path, told: list[str]) -> None:
    old(store)
    status = keeper().tidy()
    assert 0 <= status["used_percent"] <= 100
    assert status["daily_bytes"] == sum(path.stat().st_size for path in store.glob("hosts/*/2026-11-21.log.gz*"))
    assert status["lacking"] is False
    # No disk has room for so many days.
    assert keeper(kept=10**15).tidy()["lacking"] is True
    assert any(text.startswith("kijun-log-keeper: room for ") for text in told)
