# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints, as they are told to a file and read from it, or from a log."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.checkpoints import emit, line_of, read_checkpoints
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Checkpoint
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError
from hypothesis import given
from hypothesis import strategies as st

FIRST = Checkpoint("accounts", 12, "ab" * 32, "2026-11-21T03:00:00Z")
SECOND = Checkpoint("reconciliations", 0, "00" * 32, "2026-11-22T03:00:00Z")
TEXT = (
    "kijun-ledger checkpoint book=accounts count=12 head="
    + "ab" * 32
    + " at=2026-11-21T03:00:00Z"  # the documented form
)


def test_the_line_is_this() -> None:
    assert line_of(FIRST) == TEXT


def test_what_was_told_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    emit(FIRST, str(path), to_syslog=False)
    assert path.stat().st_mode & 0o777 == 0o640
    emit(SECOND, str(path), to_syslog=False)
    assert path.read_text(encoding="utf-8").splitlines() == [TEXT, line_of(SECOND)]
    assert read_checkpoints(str(path)) == [FIRST, SECOND]


@given(
    st.sampled_from(["accounts", "reconciliations"]),
    st.integers(0, 10**15),
    st.binary(min_size=32, max_size=32),
    st.datetimes(datetime.datetime(1000, 1, 1)).map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")),
)
def test_any_checkpoint_comes_back(
    tmp_path_factory: pytest.TempPathFactory, book: str, count: int, head: bytes, at: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.unlink(missing_ok=True)
    checkpoint = Checkpoint(book, count, head.hex(), at)
    emit(checkpoint, str(path), to_syslog=False)
    assert read_checkpoints(str(path)) == [checkpoint]


def test_they_are_found_in_a_log_among_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    lines = ["Nov 21 03:00:00 host sshd[1]: Accepted", f"Nov 21 03:00:00 host kijun: {TEXT}", "\udcff \x00 \u00e9"]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    assert read_checkpoints(str(path)) == [FIRST]


@pytest.mark.parametrize("left", [0, 1, 30, 60, len(TEXT) - 1, len(TEXT)])
def test_what_is_told_behind_a_line_that_was_cut_off_is_read(tmp_path: Path, left: int) -> None:
    path = tmp_path / "checkpoints"
    path.write_text(TEXT[:left], encoding="utf-8")
    emit(SECOND, str(path), to_syslog=False)
    found = read_checkpoints(str(path))
    assert found[-1] == SECOND


@pytest.mark.parametrize(
    "damage",
    [
        TEXT[:80],
        TEXT.replace("count=12", "count=-1"),
        TEXT.replace("count=12", "count=" + "9" * 5000),
        TEXT.replace("ab" * 32, "ab" * 31),
        TEXT.replace("ab" * 32, "xy" * 32),
        TEXT.replace("book=accounts", "book="),
    ],
)
def test_a_damaged_line_is_told(tmp_path: Path, damage: str) -> None:
    """A checkpoint that somebody made unreadable must not be as good as one that was never told."""
    path = tmp_path / "checkpoints"
    path.write_text(f"{line_of(SECOND)}\n{damage}\n", encoding="utf-8")
    with pytest.raises(LedgerError, match="line 2 is a damaged checkpoint"):
        read_checkpoints(str(path))


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read: No such file"):
        read_checkpoints(str(tmp_path / "missing"))
    with pytest.raises(LedgerError, match=r"cannot be written to .*: No such file"):
        emit(FIRST, str(tmp_path / "missing" / "checkpoints"), to_syslog=False)
    with pytest.raises(LedgerError, match="Is a directory"):
        read_checkpoints(str(tmp_path))


def test_a_full_disk_is_told() -> None:
    with pytest.raises(LedgerError, match="No space left"):
        emit(FIRST, "/dev/full", to_syslog=False)
