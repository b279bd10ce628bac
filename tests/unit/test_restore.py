# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshot is meant, which copies are asked for, and what differs between two snapshots."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.backup import restore, restore_program
from ansible_collections.kijun.baseline.plugins.module_utils.backup.restic import BackupError
from ansible_collections.kijun.baseline.plugins.module_utils.backup.restore import (
    choose,
    covering,
    differences,
    leaves,
    moment,
)
from hypothesis import given
from hypothesis import strategies as st

SNAPSHOTS = [
    {"snapshot": "aaaa1111", "time": "2026-11-20T01:00:00.123456789Z", "class": "system", "paths": ["/etc", "/usr"]},
    {"snapshot": "aaaa2222", "time": "2026-11-21T01:00:00Z", "class": "system", "paths": ["/etc", "/usr"]},
    {"snapshot": "bbbb3333", "time": "2026-11-22T10:00:00+09:00", "class": "files", "paths": ["/srv"]},
]


@pytest.mark.parametrize(
    ("which", "paths", "name", "found"),
    [
        ("latest", [], "", "bbbb3333"),
        ("latest", ["/etc/ssh"], "", "aaaa2222"),
        ("latest", [], "system", "aaaa2222"),
        ("aaaa1", [], "", "aaaa1111"),
        ("AAAA1", [], "", "aaaa1111"),
        ("2026-11-20T12:00", [], "", "aaaa1111"),
        ("2026-11-20 12:00", [], "", "aaaa1111"),
        ("2026-11-21T00:59:59Z", [], "", "aaaa1111"),
        ("2026-11-21T10:00:00+09:00", [], "", "aaaa2222"),
        ("2026-11-30", [], "system", "aaaa2222"),
    ],
)
def test_the_snapshot_that_is_meant(which: str, paths: list[str], name: str, found: str) -> None:
    assert choose(SNAPSHOTS, which, paths, name)["snapshot"] == found


@pytest.mark.parametrize(
    ("which", "paths", "name", "words"),
    [
        ("aaaa", [], "", "2 snapshots begin with aaaa"),
        ("latest", ["/home/a"], "", "there is no snapshot with /home/a; there are snapshots of: files, system"),
        ("latest", [], "databases", "of class databases"),
        ("yesterday", [], "", "'yesterday' is no snapshot"),
        ("2026-11-01", [], "", "from before 2026-11-01; the first is of 2026-11-20"),
        ("cccc", [], "", "'cccc' is no snapshot"),
    ],
)
def test_a_snapshot_that_is_not_there_says_what_is(which: str, paths: list[str], name: str, words: str) -> None:
    with pytest.raises(BackupError) as error:
        choose(SNAPSHOTS, which, paths, name)
    assert words in str(error.value)


@pytest.mark.parametrize("dump", restore_program.FILES.values())
def test_a_dump_is_not_put_in_place(dump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = {"snapshot": "dddd4444", "time": "2026-11-22T01:00:00Z", "class": "database", "paths": [dump]}
    monkeypatch.setattr(restore_program, "backup_command", lambda *_: [*SNAPSHOTS, database])
    monkeypatch.setattr(restore_program.Restic, "of_host", lambda: None)
    for command in ("in-place", "show"):
        given = restore_program._parser().parse_args([command, "latest", "--class", "database"])
        with pytest.raises(BackupError, match="a database's dump; restore it beside"):
            restore_program._answer(given)


def test_times_are_taken_as_restic_and_people_write_them() -> None:
    assert moment("2026-11-22T10:00:00+09:00") == moment("2026-11-22T01:00:00Z") == moment("2026-11-22 01:00")
    assert moment("2026-11-22T01:00:00.999999999+00:00") == moment("2026-11-22T01:00:00")
    with pytest.raises(ValueError, match="Invalid"):
        moment("soon")


def node(path: str, kind: str = "file", **more: Any) -> dict[str, Any]:
    return {"path": path, "type": kind, "mode": 420, "uid": 0, "gid": 0, "size": 5, "mtime": "then", **more}


def test_a_folder_of_which_only_the_time_differs_does_not_bring_all_that_is_in_it() -> None:
    nodes = {
        n["path"]: n
        for n in (
            node("/usr", "dir"),
            node("/usr/lib", "dir"),
            node("/usr/lib/large", size=10**9),
            node("/usr/lib/small", size=1),
            node("/usr/share", "dir"),
            node("/usr/share/deep", "dir"),
            node("/usr/share/deep/file"),
            node("/usr/empty", "dir"),
        )
    }
    changes = [("U", "/usr/lib/"), ("U", "/usr/share/"), ("U", "/usr/empty/"), ("M", "/usr/lib/large")]
    assert leaves(changes, nodes) == {"/usr/lib/small", "/usr/share/deep/file", "/usr/empty", "/usr/lib/large"}
    assert leaves([("-", "/usr/share/")], nodes) == {"/usr/share"}


PATHS = st.lists(st.sampled_from("abc-"), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(st.sets(PATHS, min_size=1, max_size=60), st.integers(4, 20))
def test_few_paths_cover_all(paths: set[str], most: int) -> None:
    found = covering(paths, most)
    assert len(found) <= most
    assert all(any(restore.below(path, above) for above in found) for path in paths)
    assert not any(a != b and restore.below(a, b) for a in found for b in found)
    if len(covering(paths, 10**6)) <= most:
        assert found == covering(paths, 10**6)


class Repository:
    """Answers as restic would."""

    def __init__(self, found: list[tuple[str, str]], before: list[Any], after: list[Any]) -> None:
        self.found, self.trees = found, {"before": before, "after": after}

    def diff(self, before: str, after: str) -> list[tuple[str, str]]:
        assert (before, after) == ("before", "after")
        return self.found

    def ls(self, snapshot: str) -> list[Any]:
        return self.trees[snapshot]


def really(found: list[tuple[str, str]], before: list[Any], after: list[Any]) -> list[tuple[str, str]]:
    repository: Any = Repository(found, before, after)
    return differences(repository, "before", "after", lambda path: not path.startswith("/never"))


def test_another_inode_alone_is_no_difference() -> None:
    assert really([("U", "/etc/a")], [node("/etc/a", inode=1)], [node("/etc/a", inode=2)]) == []


@pytest.mark.parametrize("what", [{"mode": 384}, {"uid": 7}, {"gid": 7}, {"mtime": "now"}, {"size": 6}])
def test_owner_mode_and_time_of_a_file_are(what: dict[str, Any]) -> None:
    assert really([("U", "/etc/a")], [node("/etc/a")], [node("/etc/a", **what)]) == [("U", "/etc/a")]


def test_the_time_of_a_folder_is_none_and_its_mode_is() -> None:
    before = [node("/etc", "dir")]
    assert really([("U", "/etc/")], before, [node("/etc", "dir", mtime="now")]) == []
    assert really([("U", "/etc/")], before, [node("/etc", "dir", mode=448)]) == [("U", "/etc/")]


def test_content_and_presence_always_differ_but_not_where_nobody_looks() -> None:
    found = [("M", "/etc/a"), ("+", "/etc/b"), ("-", "/etc/c/"), ("T", "/etc/d"), ("M", "/never/e")]
    assert really(found, [], []) == found[:-1]
