# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups without a repository: what restic says, history, retention, sessions, and where copies may be."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.filter.backup import backup_account
from ansible_collections.kijun.baseline.plugins.module_utils.backup import keeper as keeping
from ansible_collections.kijun.baseline.plugins.module_utils.backup import restic, session
from ansible_collections.kijun.baseline.plugins.module_utils.backup.history import History, moment, summary
from ansible_collections.kijun.baseline.plugins.module_utils.backup.restic import Done, error_of
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import complaints, within

PACK = "778e2dd5713b942bd8085d81e77a8a5a422eee2223c79070a66264eeed8fbb64"

SAID: list[tuple[int, str, type[restic.BackupError]]] = [
    # 0.14
    (1, "Fatal: wrong password or no key found", restic.WrongKey),
    (
        1,
        "Fatal: unable to open repository at rclone:backup:h: error talking HTTP to rclone: "
        'Get "http://localhost/file-5": unexpected EOF',
        restic.RepositoryUnreachable,
    ),
    (
        1,
        "unable to create lock in backend: repository is already locked exclusively by PID 476 on server12 by root",
        restic.RepositoryLocked,
    ),
    (
        1,
        f"Pack ID does not match, want {PACK}, got 69067a97\n\nFatal: repository contains errors",
        restic.RepositoryDamaged,
    ),
    (
        1,
        "ignoring error for /big/f1: ciphertext verification failed\nFatal: There were 1 errors",
        restic.RepositoryDamaged,
    ),
    (
        1,
        "Fatal: unable to open config file: stat /nowhere/config: no such file or directory\n"
        "Is there a repository at the following location?\n/nowhere",
        restic.RepositoryAbsent,
    ),
    (
        1,
        "rclone: kijun-backup-server: full: 10 MB of a quota of 9 MB are in use\nFatal: unable to save snapshot",
        restic.RepositoryFull,
    ),
    (1, "rclone: kijun-backup-server: busy: 8 sessions are open; try again in 30 s\nFatal: x", restic.ServerBusy),
    (
        1,
        "Remove(<snapshot/a8facd7863>) returned error: blob not removed, server response: 403 Forbidden (403)",
        restic.RepositoryRefuses,
    ),
    # 0.18
    (12, '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', restic.WrongKey),
    (11, "Fatal: unable to create lock", restic.RepositoryLocked),
    (10, "Fatal: repository does not exist: unable to open config file", restic.RepositoryAbsent),
    (
        1,
        "Fatal: unable to open repository at rclone:backup:h: error talking HTTP to rclone: exit status 255",
        restic.RepositoryUnreachable,
    ),
    (
        1,
        f"pack {PACK} contains 2 errors: [blob 765b: decrypting blob <data/765b876b> from 778e2dd5 failed: ciphertext "
        "verification failed]",
        restic.RepositoryDamaged,
    ),
]


@pytest.mark.parametrize(("status", "said", "kind"), SAID, ids=lambda value: str(getattr(value, "__name__", ""))[:20])
def test_errors_are_told_by_what_they_are(status: int, said: str, kind: type[restic.BackupError]) -> None:
    error = error_of(Done(status, b"", said))
    assert type(error) is kind


def test_a_damaged_pack_is_named_once_and_whole() -> None:
    said = f"pack {PACK} contains 2 errors: [decrypting blob <data/765b> from 778e2dd5 failed: ciphertext "
    said += "verification failed]"
    error = error_of(Done(1, b"", said))
    assert isinstance(error, restic.RepositoryDamaged) and error.packs == [PACK]
    assert PACK in str(error)


def test_a_lock_names_its_holder() -> None:
    error = error_of(
        Done(1, b"", "repository is already locked exclusively by PID 476 on server12 by root (UID 0, GID 0)")
    )
    assert isinstance(error, restic.RepositoryLocked) and (error.host, error.pid) == ("server12", 476)


def test_a_busy_server_says_when_to_come_again() -> None:
    error = error_of(Done(1, b"", "kijun-backup-server: busy: 8 sessions are open; try again in 45 s"))
    assert isinstance(error, restic.ServerBusy) and error.seconds == 45


NAMES = [
    b"/t/plain",
    b"/t/bad\xfebyte",
    b"/t/bad\xffbyte",
    b"/t/new\nline",
    b"/t/sp ace ",
    b"/t/cut\xe6\x97",
    "/t/日本".encode(),
]


class Answering(restic.Restic):
    """restic, whose answers are given.

    Args:
        names: what differs.
    """

    def __init__(self, names: list[bytes]) -> None:
        super().__init__("/nowhere", "/nowhere")
        self.names, self.asked = names, 0

    def run(self, *arguments: str, seconds: float | None = None) -> bytes:
        self.asked += 1
        if "--json" in arguments:
            lines = [
                json.dumps({"message_type": "change", "path": restic.lossy(name), "modifier": "M"})
                for name in self.names
            ]
            return "\n".join([*lines, json.dumps({"message_type": "statistics"})]).encode()
        head = b"comparing snapshot ff793a17 to a8facd78:\n\n"
        return head + b"".join(b"M    " + name + b"\n" for name in self.names) + b"\nFiles: 1 new\n"


def test_names_keep_their_bytes() -> None:
    answering = Answering(NAMES)
    assert answering.diff("a", "b") == [("M", os.fsdecode(name)) for name in NAMES]
    assert answering.asked == 2


def test_usual_names_take_one_call() -> None:
    answering = Answering([b"/t/a", b"/t/new\nline"])
    assert answering.diff("a", "b") == [("M", "/t/a"), ("M", "/t/new\nline")]
    assert answering.asked == 1


def test_a_name_cannot_pass_for_two() -> None:
    names = [b"/t/\xff\nM    /etc/shadow", b"/t/b"]
    assert Answering(names).diff("a", "b") == [("M", os.fsdecode(name)) for name in names]


@pytest.mark.parametrize(
    ("path", "wanted"), [("/a/b", "/a/b"), ("/a*b", "/a\\*b"), ("/[x]?", "/\\[x\\]\\?"), ("/back\\", "/back\\\\")]
)
def test_a_path_is_a_pattern_of_itself(path: str, wanted: str) -> None:
    assert restic.pattern(path) == wanted


def test_the_password_is_on_no_command_line(tmp_path: Path) -> None:
    found = restic.Restic("rclone:backup:h", "/etc/kijun/backup/password", {"rclone.program": "ssh x"}).command(
        ["check"]
    )
    assert found[:5] == ["restic", "-r", "rclone:backup:h", "-p", "/etc/kijun/backup/password"]
    assert "rclone.args=fetch" in found


# History.


def entry(kind: str = "backup", name: str = "files", outcome: str = "ok", **more: Any) -> dict[str, Any]:
    about = {"id": os.urandom(4).hex(), "kind": kind, "class": name, "tags": ["full"], "started": moment(time.time())}
    return {**about, "outcome": outcome, **more}


def test_what_never_ended_is_noted_as_failed(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.begin("backup", "files", ["full"])
    again = History(str(tmp_path))
    made = again.begin("backup", "files", ["full"])
    again.end({**made, "outcome": "ok"})
    assert [line["outcome"] for line in again.lines()] == ["failed", "ok"]
    assert "interrupted" in again.lines()[0]["error"]
    again.recover()
    assert len(again.lines()) == 2


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.append(entry())
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"kind": "back')
    history.append(entry(name="system"))
    assert [line["class"] for line in history.lines()] == ["files", "system"]
    assert (tmp_path / "history.jsonl").stat().st_mode & 0o777 == 0o600


def test_old_lines_go(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.append({**entry(), "started": "2020-01-01T00:00:00Z"})
    history.append(entry())
    history.shorten(time.time())
    assert len(history.lines()) == 1


def test_the_summary_has_the_last_of_each() -> None:
    lines = [
        entry(),
        entry(outcome="failed", error="why"),
        entry("check"),
        entry("restore_test", equal=True),
        entry("prune", "web1"),
    ]
    found = summary(lines)
    assert found["classes"]["files"]["last"]["outcome"] == "failed"
    assert found["classes"]["files"]["ok"] == found["classes"]["files"]["tags"]["full"] == lines[0]["started"]
    assert found["check"]["ok"] and found["restore_test"]["files"]["ok"] and found["prune"]["web1"]["ok"]


# Retention.

DAY = 86400
NOW = 1_800_000_000.0


@pytest.fixture
def keeper(tmp_path: Path) -> keeping.Keeper:
    settings = {
        "directory": str(tmp_path / "store"),
        "clients": [{"name": "web1", "account": "kb-web1", "quota_mb": 100}],
        "retention": {"full": 90, "incremental": 30, "differential": 7},
        "retention_classes": {"logs": {"full": 366}},
        "reserve_mb": 1,
        "check_mb": 1,
        "copy": {},
    }
    told: list[tuple[int, str]] = []
    found = keeping.Keeper(
        settings,
        str(tmp_path),
        str(tmp_path),
        lambda *words: told.append(words),
        lambda: NOW,
        History(str(tmp_path / "h")),
    )
    (tmp_path / "store" / "web1" / "repository" / "snapshots").mkdir(parents=True)
    return found


def came(keeper: keeping.Keeper, *given: tuple[str, str, float], said: str = "") -> list[str]:
    """Snapshots of class, tag and age in days; which of them are old enough, by their place."""
    snapshots, times = [], {}
    for number, (kind, tag, age) in enumerate(given):
        name = f"{number:064x}"
        path = Path(keeper.repository(keeper.clients()[0])) / "snapshots" / name
        path.touch()
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
        times[name] = NOW - age * DAY
        snapshots.append({"id": name, "time": said or "2026-11-28T18:46:24.081188624Z", "tags": ["class=" + kind, tag]})
    return [str(int(name, 16)) for name in keeper.old_enough(snapshots, times, "web1")]


def test_each_tag_has_its_time(keeper: keeping.Keeper) -> None:
    given = [(tag, age) for tag in ("full", "incremental", "differential") for age in (100, 40, 20, 6, 1)]
    old = came(keeper, *[("files", tag, age) for tag, age in given])
    assert [given[int(number)] for number in old] == [
        ("full", 100),
        ("incremental", 100),
        ("incremental", 40),
        ("differential", 100),
        ("differential", 40),
        ("differential", 20),
    ]


def test_a_class_may_be_kept_longer_and_never_shorter(keeper: keeping.Keeper) -> None:
    assert came(keeper, ("logs", "full", 200), ("logs", "full", 1)) == []
    keeper.settings["retention"]["full"] = 1
    assert came(keeper, ("files", "full", 89), ("files", "full", 1)) == []


def test_the_newest_of_a_class_and_tag_stays(keeper: keeping.Keeper) -> None:
    assert came(keeper, ("files", "full", 500), ("system", "full", 1)) == []


def test_a_mark_of_one_change_alone_keeps_nothing_for_ever(keeper: keeping.Keeper) -> None:
    assert came(keeper, ("system", "change=one", 100), ("system", "change=two", 1)) == ["0"]


def test_an_unknown_tag_is_kept_as_long_as_any(keeper: keeping.Keeper) -> None:
    assert came(keeper, ("files", "mine", 89), ("files", "mine", 91), ("files", "mine", 1)) == ["1"]


@pytest.mark.parametrize(
    ("age", "said", "why"),
    [
        (-1, "", "the clock is wrong"),
        (30, "", "nothing has come for"),
        (1, "2031-01-01T00:00:00.000000001+09:00", "says that it is of 2031"),
    ],
)
def test_where_clocks_contradict_one_another_nothing_goes(
    keeper: keeping.Keeper, age: float, said: str, why: str
) -> None:
    with pytest.raises(restic.BackupError, match=why):
        came(keeper, ("files", "full", 500), ("files", "full", age), said=said)


def test_what_a_client_says_of_the_past_makes_nothing_older(keeper: keeping.Keeper) -> None:
    assert came(keeper, ("files", "full", 2), ("files", "full", 1), said="1999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("", "names none"),
        ("localhost", "itself"),
        ("127.0.0.1", "itself"),
        ("::1", "itself"),
        ("web1", "whose backups"),
        ("192.0.2.7", "whose backups"),
    ],
)
def test_a_copy_onto_the_source_is_refused(host: str, why: str) -> None:
    settings = {"clients": [{"name": "web1", "addresses": ["192.0.2.7"]}]}
    with pytest.raises(restic.BackupError, match=why):
        keeping.refuse_source({"host": host}, settings)
    keeping.refuse_source({"host": "192.0.2.99"}, settings)


def test_a_file_that_is_not_what_its_name_says_is_found(keeper: keeping.Keeper) -> None:
    import hashlib

    folder = Path(keeper.repository(keeper.clients()[0])) / "data" / "ab"
    folder.mkdir(parents=True)
    name = hashlib.sha256(b"content").hexdigest()
    (folder / name).write_bytes(b"content")
    assert keeper.look_at_data([]) == []
    (folder / name).write_bytes(b"c0ntent")
    assert keeper.look_at_data([]) == [f"web1/data/ab/{name}"]
    (folder / name).unlink()
    assert keeper.look_at_data([f"web1/data/ab/{name}"]) == []


# Sessions.


def test_places_are_taken_one_each(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / str(number)).touch()
    with session.slot(str(tmp_path), 2, 0), session.slot(str(tmp_path), 2, 0):
        with pytest.raises(session.Refused) as refused, session.slot(str(tmp_path), 2, 0):
            pass
        assert refused.value.what == "busy"
    with session.slot(str(tmp_path), 2, 0):
        pass


def test_a_quota_and_the_reserve_are_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2_000_000)
    client = {"quota_mb": 3}
    session.refuse_full({"reserve_mb": 0}, client, str(tmp_path), 0)
    with pytest.raises(session.Refused, match="quota of 1 MB"):
        session.refuse_full({"reserve_mb": 0}, {"quota_mb": 1}, str(tmp_path), 0)
    session.refuse_full({"reserve_mb": 0}, {"quota_mb": 1}, str(tmp_path), session.SLACK)
    with pytest.raises(session.Refused, match="left on the disk"):
        session.refuse_full({"reserve_mb": 10**9}, client, str(tmp_path), 0)


# Settings.


@pytest.mark.parametrize("name", ["web1", "web1.example.com", "Web_1", "x" * 60, "10.0.0.1"])
def test_every_host_has_an_account(name: str) -> None:
    account = backup_account(name)
    assert len(account) <= 31 and account.startswith("kb-") and account == account.lower()
    assert backup_account(name + "2") != account


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("backup_classes", [{"name": "a", "method": "files", "paths": ["/srv"]}], True),
        ("backup_classes", [{"name": "a", "method": "postgresql"}], True),
        ("backup_classes", [{"name": "a", "method": "files"}], False),
        ("backup_classes", [{"name": "a", "method": "files", "paths": ["srv"]}], False),
        ("backup_classes", [{"name": "a.b", "method": "postgresql"}], False),
        ("backup_classes", [{"name": "a", "method": "mariadb"}, {"name": "a", "method": "mariadb"}], False),
        ("calendar", {"full": "Sun *-*-* 04:00"}, True),
        ("calendar", {"full": "Sun\nUnit=x"}, False),
        ("retention", {"full": 90, "mine": 1}, True),
        ("retention", {"full": 89}, False),
        ("retention_classes", {"logs": {"full": 30}}, False),
        ("figures", {"web1": 5}, True),
        ("figures", {"web1": 0}, False),
        ("backup_copy", {}, True),
        ("backup_copy", {"type": "local", "path": "/x"}, False),
        ("backup_copy", {"type": "sftp", "host": "a", "user": "b", "host_key": "ssh-ed25519 A", "path": "c"}, True),
        ("backup_copy", {"type": "sftp", "host": "a\nb", "user": "b", "host_key": "k", "path": "c"}, False),
        ("backup_copy", {"type": "s3", "endpoint": "https://s3", "access_key_id": "i", "path": "c"}, True),
        ("recipients", ["age1" + "q" * 58, "ssh-ed25519 AAAA x@y"], True),
        ("recipients", ["AGE-SECRET-KEY-1" + "Q" * 58], False),
    ],
)
def test_settings_are_held_to_their_form(kind: str, value: Any, good: bool) -> None:
    assert within(value, {"type": kind}) is good


def test_a_longer_roles_variables_are_no_mistakes_of_a_shorter_one() -> None:
    assert complaints("backup", {}, {}, ["backup_server_port"]) == []
    assert complaints("backup", {}, {}, ["backup_serverport"])
