# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths made what they were: on a real file system, everything that can differ, and what stands in the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.backup import put_back as module
from ansible_collections.kijun.baseline.plugins.module_utils.backup.put_back import copy_attributes, put_back
from hypothesis import given, settings
from hypothesis import strategies as st

THEN = 1_700_000_000


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """The copies of a snapshot, and the tree as it is now."""
    copies, now = tmp_path / "copies", tmp_path / "now"
    copies.mkdir()
    now.mkdir()
    return copies, now


def written(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)
    os.utime(path, (THEN, THEN))
    return path


def undo(copies: Path, now: Path, *changes: tuple[str, str]) -> module.Outcome:
    return put_back(changes, str(copies), str(now))


def test_content_mode_and_time_come_back(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(copies / "etc/a", "old", 0o640)
    (now / "etc").mkdir()
    (now / "etc/a").write_text("new", "utf-8")
    outcome = undo(copies, now, ("M", "/etc/a"))
    assert (now / "etc/a").read_text("utf-8") == "old"
    info = (now / "etc/a").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (0o640, THEN)
    assert outcome.replaced == ["/etc/a"]
    assert outcome.failures == {}


def test_what_is_right_is_left_alone(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(copies / "etc/a", "same")
    written(now / "etc/a", "same")
    for root in trees:
        os.utime(root / "etc", (THEN, THEN))
    before = (now / "etc/a").stat()
    assert undo(copies, now, ("M", "/etc/a"), ("U", "/etc/a")).paths() == []
    after = (now / "etc/a").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_is_too_much_goes_and_its_folder_with_it(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(now / "opt/new/deep/file", "x")
    outcome = undo(
        copies, now, ("+", "/opt/new/"), ("+", "/opt/new/deep/"), ("+", "/opt/new/deep/file"), ("+", "/opt/never")
    )
    assert not (now / "opt/new").exists()
    assert outcome.removed == ["/opt/new/deep/file", "/opt/new/deep", "/opt/new"]
    assert outcome.failures == {}


def test_a_folder_with_something_unknown_in_it_stays_and_is_told(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(now / "opt/new/unknown", "somebody's")
    outcome = undo(copies, now, ("+", "/opt/new/"))
    assert (now / "opt/new/unknown").read_text("utf-8") == "somebody's"
    assert list(outcome.failures) == ["/opt/new"]


def test_missing_folders_come_back_with_their_modes_and_times(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(copies / "srv/a/b/file", "x", 0o600)
    for folder, mode in (("srv/a/b", 0o700), ("srv/a", 0o751), ("srv", 0o755)):
        (copies / folder).chmod(mode)
        os.utime(copies / folder, (THEN, THEN))
    (now / "srv").mkdir()
    undo(copies, now, ("-", "/srv/a/"), ("-", "/srv/a/b/"), ("-", "/srv/a/b/file"))
    for folder, mode in (("srv/a/b", 0o700), ("srv/a", 0o751), ("srv", 0o755)):
        info = (now / folder).stat()
        assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (mode, THEN), folder


@pytest.mark.parametrize(
    ("was", "became"), [(was, became) for was in "flp" for became in "fld" if was != became], ids="".join
)
def test_a_path_of_another_kind_becomes_what_it_was(trees: tuple[Path, Path], was: str, became: str) -> None:
    copies, now = trees

    def make(path: Path, kind: str) -> None:
        path.parent.mkdir(exist_ok=True)
        if kind == "f":
            written(path, "text")
        elif kind == "l":
            path.symlink_to("/somewhere")
        elif kind == "p":
            os.mkfifo(path, 0o600)
        else:
            path.mkdir()

    make(copies / "etc/x", was)
    make(now / "etc/x", became)
    outcome = undo(copies, now, ("T", "/etc/x"))
    assert outcome.failures == {}
    assert stat.S_IFMT(os.lstat(now / "etc/x").st_mode) == stat.S_IFMT(os.lstat(copies / "etc/x").st_mode)


def test_a_link_is_never_followed(trees: tuple[Path, Path], tmp_path: Path) -> None:
    copies, now = trees
    outside = written(tmp_path / "outside", "not to be touched", 0o600)
    written(copies / "etc/x", "old")
    (now / "etc").mkdir()
    (now / "etc/x").symlink_to(outside)
    undo(copies, now, ("T", "/etc/x"))
    assert outside.read_text("utf-8") == "not to be touched"
    assert (now / "etc/x").read_text("utf-8") == "old"
    assert not (now / "etc/x").is_symlink()


def test_names_of_one_file_stay_names_of_one_file(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(copies / "usr/bin/a", "program", 0o755)
    os.link(copies / "usr/bin/a", copies / "usr/bin/b")
    (now / "usr/bin").mkdir(parents=True)
    undo(copies, now, ("-", "/usr/bin/a"), ("-", "/usr/bin/b"))
    assert (now / "usr/bin/a").stat().st_ino == (now / "usr/bin/b").stat().st_ino


def test_extended_attributes_come_back_and_others_go(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    one, other = written(copies / "a", "same"), written(now / "a", "same")
    try:
        os.setxattr(one, "user.was", b"there")
        os.setxattr(other, "user.new", b"added")
    except OSError as error:
        pytest.skip(f"this file system has no extended attributes: {error}")
    assert undo(copies, now, ("U", "/a")).attributes == ["/a"]
    assert module.extended(str(other)) == {"user.was": b"there"}


def test_a_copy_that_the_repository_did_not_give_is_told(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(now / "etc/a", "new")
    outcome = undo(copies, now, ("M", "/etc/a"))
    assert outcome.failures == {"/etc/a": "the repository gave back no copy of it"}
    assert (now / "etc/a").read_text("utf-8") == "new"


def test_an_obstacle_hinders_nothing_else_and_leaves_no_spare(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    written(copies / "etc/a", "old")
    written(copies / "etc/b", "old")
    written(now / "etc/a/occupied", "a folder with something in it")
    written(now / "etc/b", "new")
    outcome = undo(copies, now, ("T", "/etc/a"), ("M", "/etc/b"))
    assert list(outcome.failures) == ["/etc/a"]
    assert (now / "etc/b").read_text("utf-8") == "old"
    assert sorted(path.name for path in (now / "etc").iterdir()) == ["a", "b"]


def test_a_file_that_something_is_mounted_on_is_written_anew(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, now = trees
    written(copies / "etc/hosts", "old", 0o644)
    written(now / "etc/hosts", "a longer new text", 0o600)
    inode = (now / "etc/hosts").stat().st_ino

    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(module.os, "rename", busy)
    assert undo(copies, now, ("M", "/etc/hosts")).failures == {}
    info = (now / "etc/hosts").stat()
    assert (info.st_ino, stat.S_IMODE(info.st_mode)) == (inode, 0o644)
    assert (now / "etc/hosts").read_text("utf-8") == "old"
    assert [path.name for path in (now / "etc").iterdir()] == ["hosts"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_owners_come_back_and_set_id_bits_survive_them(trees: tuple[Path, Path]) -> None:
    copies, now = trees
    one, other = written(copies / "a", "same"), written(now / "a", "same")
    os.chown(one, 12345, 23456)
    one.chmod(0o4755)
    os.utime(one, (THEN, THEN))
    undo(copies, now, ("U", "/a"))
    info = other.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (12345, 23456, 0o4755)
    assert not copy_attributes(str(one), str(other))


NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=6), st.data())
def test_any_tree_comes_back_whatever_was_done_to_it(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("trees")
    copies, now = folder / "copies", folder / "now"
    changes = []
    for root in (copies, now):
        root.mkdir()
        for name, content in files.items():
            (root / name).write_bytes(content)
            os.utime(root / name, (THEN, THEN))
    for name in files:
        done = data.draw(st.sampled_from(["nothing", "gone", "written", "mode", "link"]))
        path = now / name
        if done in ("gone", "link"):
            path.unlink()
        if done == "link":
            path.symlink_to("/elsewhere")
        if done == "written":
            path.write_bytes(b"other content, and longer than any other")
        if done == "mode":
            path.chmod(0o400)
        letter = {"gone": "-", "written": "M", "mode": "U", "link": "T"}.get(done)
        changes += [(letter, "/" + name)] if letter else []
    extra = data.draw(NAMES.filter(lambda name: name not in files))
    (now / extra).write_bytes(b"too much")
    outcome = put_back([*changes, ("+", "/" + extra)], str(copies), str(now))
    assert outcome.failures == {}

    def state(root: Path) -> dict[str, tuple[bytes, int, float]]:
        return {path.name: (path.read_bytes(), path.lstat().st_mode, path.lstat().st_mtime) for path in root.iterdir()}

    assert state(now) == state(copies)
