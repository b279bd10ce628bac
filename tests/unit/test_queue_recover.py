# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues of rsyslog that were cut off: what is whole is kept, and the note fits."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from kijun_tools import tree


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    path = tree.ROOT / "roles" / "log_forwarding" / "files" / "kijun-queue-recover"
    loader = importlib.machinery.SourceFileLoader("kijun_queue_recover", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def record(text: str) -> bytes:
    raw = text.encode()
    return b"<Obj:1:msg:1:\n+iFacility:2:1:1:\n+pszRawMsg:1:%d:%s:\n>End\n.\n" % (len(raw), raw)


WHOLE = [record(text) for text in ("one", "two :\n+a:1:1:x:\n>End\n.\n<Obj:1:msg:1:\n", "three")]
QUEUE = "to-log1.example.com"


def noted(spool: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, value in re.findall(r"\+([\w.]+):2:\d+:(\d+):", (spool / f"{QUEUE}.qi").read_text(encoding="utf-8")):
        found.setdefault(name, []).append(int(value))
    return found


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"".join(WHOLE), WHOLE),
        (b"".join(WHOLE) + WHOLE[0][:-3], WHOLE),
        (b"".join(WHOLE) + b"\0" * 4096, WHOLE),
        (WHOLE[0][20:] + WHOLE[2], WHOLE[2:]),
        (WHOLE[0] + WHOLE[1][:30] + WHOLE[2], [WHOLE[0]]),
        (WHOLE[0] + WHOLE[1][:30] + b"\n" + WHOLE[2], [WHOLE[0], WHOLE[2]]),
        (b"no record\n", []),
        (b"", []),
    ],
)
def test_whole_records_are_kept(program: ModuleType, tmp_path: Path, content: bytes, kept: list[bytes]) -> None:
    file = tmp_path / f"{QUEUE}.00000007"
    file.write_bytes(content)
    (tmp_path / f"{QUEUE}.qi").write_text("old", encoding="utf-8")
    assert program.recover(str(tmp_path), QUEUE) == len(kept)
    if not kept:
        assert list(tmp_path.iterdir()) == []
        return
    assert file.read_bytes() == b"".join(kept)
    found = noted(tmp_path)
    assert found["iQueueSize"] == [len(kept)]
    assert found["tVars.disk.sizeOnDisk"] == [len(b"".join(kept))]
    assert found["iCurrFNum"] == [7, 7]
    assert found["iCurrOffs"] == [len(b"".join(kept)), 0]
    assert found["bDeleteOnClose"] == [0, 1]


def test_files_follow_one_another(program: ModuleType, tmp_path: Path) -> None:
    for number, content in ((7, WHOLE[0]), (8, b"nothing"), (11, WHOLE[1] + WHOLE[2])):
        (tmp_path / f"{QUEUE}.{number:08}").write_bytes(content)
    other = tmp_path / "to-log1.example.com.more.00000001"
    other.write_bytes(b"another queue's")
    assert program.recover(str(tmp_path), QUEUE) == 3
    assert other.read_bytes() == b"another queue's"
    assert sorted(path.name for path in tmp_path.glob(f"{QUEUE}.0*")) == [f"{QUEUE}.00000007", f"{QUEUE}.00000008"]
    found = noted(tmp_path)
    assert (found["iCurrFNum"], found["iCurrOffs"]) == ([8, 7], [len(WHOLE[1] + WHOLE[2]), 0])


def test_it_does_nothing_after_an_end_in_order(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SPOOL", str(tmp_path))
    monkeypatch.setattr(program, "IN_ORDER", str(tmp_path / "ended-in-order"))
    for name in (f"{QUEUE}.00000001", "ended-in-order"):
        (tmp_path / name).write_bytes(b"rest")
    assert program.main() == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{QUEUE}.00000001"]
    # And only once.
    assert program.main() == 0
    assert list(tmp_path.iterdir()) == []
