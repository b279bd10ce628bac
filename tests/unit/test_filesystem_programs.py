# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that role filesystem puts on hosts: what they make of what they read."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import stat
import struct
from pathlib import Path
from types import ModuleType

import pytest
from kijun_tools import tree

FILES = tree.ROOT / "roles" / "filesystem" / "files"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def program(name: str) -> ModuleType:
    """Load a program as a module."""
    loader = importlib.machinery.SourceFileLoader("kijun_" + name.replace("-", "_"), str(FILES / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing beside the programs."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0), "cap_net_raw=ep"),
        (struct.pack("<5I", 0x02000000, 1 << 13, 0, 0, 0), "cap_net_raw=p"),
        (
            struct.pack("<6I", 0x03000001, 1 << 10 | 1 << 13, 0, 1 << 8, 0, 1000),
            "cap_net_bind_service,cap_net_raw,cap_checkpoint_restore=ep",
        ),
        (struct.pack("<5I", 0x02000000, 0, 1, 0, 0), "cap_chown=i"),
        (b"\x00", "of an unknown form"),
    ],
)
def test_capabilities_as_getcap_writes_them(monkeypatch: pytest.MonkeyPatch, data: bytes, text: str) -> None:
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: data)
    assert program("file-inventory").capabilities("/x") == text


def test_file_without_capabilities(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert program("file-inventory").capabilities(str(tmp_path / "x")) == ""
    assert program("file-inventory").capabilities(str(tmp_path / "gone")) == ""


def walked(top: Path, excluded: list[str] | None = None) -> dict[str, dict[str, str]]:
    """Walk one directory as if it were a host's only mount."""
    module = program("file-inventory")
    walk = module.Walk(excluded or [], ["ext4"])
    walk.mounts = {str(top): "ext4"}
    walk.run()
    assert walk.findings.counts == {kind: len(found) for kind, found in walk.findings.listed.items()}
    return {kind: found for kind, found in walk.findings.listed.items() if found}


@needs_root
def test_walk_finds_what_gives_rights_away(tmp_path: Path) -> None:
    for name, mode in (("suid", 0o4711), ("sgid", 0o2755), ("locking", 0o2644), ("open", 0o602), ("fine", 0o755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    for name, mode in (("anybodys", 0o777), ("sticky", 0o1777), ("shared", 0o2775)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").chmod(0o666)
    (tmp_path / "link").symlink_to("open")
    os.chown(tmp_path / "fine", 54321, 0)
    assert walked(tmp_path) == {
        "privileged": {f"{tmp_path}/suid": "4711 0:0", f"{tmp_path}/sgid": "2755 0:0"},
        "writable_files": {f"{tmp_path}/open": "0602"},
        "open_directories": {f"{tmp_path}/anybodys": "0777"},
        "unowned": {f"{tmp_path}/fine": "user 54321"},
    }


@needs_root
def test_walk_leaves_out_what_is_excluded_and_nothing_beside(tmp_path: Path) -> None:
    for name in ("a", "ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "open").touch()
        (tmp_path / name / "open").chmod(0o666)
    assert list(walked(tmp_path, [f"{tmp_path}/a"])["writable_files"]) == [f"{tmp_path}/ab/open"]


@needs_root
def test_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n"
    os.close(os.open(path, os.O_CREAT))
    Path(os.fsdecode(path)).chmod(0o666)
    assert list(walked(tmp_path)["writable_files"]) == [f"{tmp_path}/\\xff\n"]


def test_directory_that_was_swapped_meanwhile_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "top" / "in").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "open").touch()
    (tmp_path / "elsewhere" / "open").chmod(0o666)
    module = program("file-inventory")
    walk = module.Walk([], ["ext4"])
    walk.mounts = {str(tmp_path / "top"): "ext4"}
    look = walk._look

    def swap(path: str, info: os.stat_result) -> None:
        look(path, info)
        if path.endswith("/in"):
            Path(path).rename(path + "-away")
            (tmp_path / "elsewhere").rename(path)

    monkeypatch.setattr(walk, "_look", swap)
    walk.run()
    assert not walk.findings.listed["writable_files"]


def test_result_is_roots_alone_and_whole(tmp_path: Path) -> None:
    module = program("file-inventory")
    module.write(str(tmp_path / "new" / "files.json"), {"a": 1})
    assert stat.S_IMODE((tmp_path / "new" / "files.json").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "new" / "files.json").read_text(encoding="utf-8")) == {"a": 1}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["files.json"]


@pytest.fixture
def integrity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with its records below a directory of the test."""
    module = program("integrity")
    for name in ("STATE", "BASELINE", "CHECK", "DATABASE", "CONFIGURATION"):
        monkeypatch.setattr(module, name, str(tmp_path) + getattr(module, name))
    Path(module.DATABASE).parent.mkdir(parents=True)
    return module


def test_what_aide_reports_is_counted(integrity: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {
        "added": {"/a": "f+++"},
        "changed": {"/b": "f  .C"},
        "details": {"/b": {"sha512": {"old": "x", "new": "y"}, "perm": {"old": "x", "new": "y"}}},
    }
    monkeypatch.setattr(integrity, "aide", lambda *_: (5, json.dumps(report)))
    assert integrity.differences() == {"added": {"/a": ""}, "removed": {}, "changed": {"/b": "perm, sha512"}}


def test_no_comparison_without_a_baseline(integrity: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no baseline"):
        integrity.check()


def test_baseline_that_was_rewritten_is_not_compared_with(integrity: ModuleType) -> None:
    Path(integrity.DATABASE).write_text("other", encoding="ascii")
    before = {"state": "made", "sha256": "0" * 64}
    assert integrity.approved_by(before) == "there was no intact baseline"
