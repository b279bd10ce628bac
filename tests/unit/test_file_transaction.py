# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactional file step: what it does, what it refuses, and what is left when it is killed at any step."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pickle
import random
import shutil
import signal
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import (
    candidate_view,
    file_commit,
    file_transaction,
)
from ansible_collections.kijun.baseline.plugins.module_utils.candidate_view import Generator
from ansible_collections.kijun.baseline.plugins.module_utils.file_commit import Change
from ansible_collections.kijun.baseline.plugins.module_utils.file_diff import diff_of
from ansible_collections.kijun.baseline.plugins.module_utils.file_request import edit_settings
from ansible_collections.kijun.baseline.plugins.module_utils.file_state import (
    FileState,
    FileTransactionError,
    matches,
    read_state,
)
from ansible_collections.kijun.baseline.plugins.module_utils.file_transaction import FileTransaction, Outcome

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it sets owners and makes mount namespaces")

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000


class Host:
    """A directory that plays a host: its configuration below etc, the step's own directories beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc = root / "etc"
        self.etc.mkdir(mode=0o755)

    def path(self, name: str) -> str:
        return str(self.etc / name)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def file(self, name: str, content: str | None = None, **options: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "path": self.path(name),
            "state": "file",
            "content": None if content is None else content.encode(),
            "settings": None,
            "separator": " ",
            "owner": None,
            "group": None,
            "mode": None,
            "secret": False,
            "validate": None,
        }
        return {**entry, **options}

    def step(self) -> FileTransaction:
        return FileTransaction(str(self.root / "state"), str(self.root / "run"))

    def run(self, *files: dict[str, Any], check: bool = False, keep: int = 5, **options: Any) -> Outcome:
        arguments: dict[str, Any] = {"generators": [], "validators": [], "scratch": [], **options}
        return self.step().run(files=list(files), keep_generations=keep, check=check, **arguments)

    def snapshot(self) -> dict[str, tuple[str, int, int, int, bytes]]:
        """Everything below etc: type, owner, group, mode, content."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            info = path.lstat()
            content = (
                str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            )
            found[str(path)] = (stat.filemode(info.st_mode)[0], info.st_uid, info.st_gid, info.st_mode, content)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture(autouse=True)
def _tests_are_no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' hosts lie below /tmp, which commands may otherwise write to without being noticed."""
    monkeypatch.setattr(candidate_view, "SCRATCH", ("/var/tmp",))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def verbs(outcome: Outcome) -> dict[str, str]:
    return {Path(change.path).name: change.verb for change in outcome.changes}


def apart(function: Callable[[], Any]) -> Any:
    """Call a function in a forked process with a mount namespace of its own, and give back what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            assert LIBC.unshare(0x20000) == 0
            mount(None, "/", None, MS_REC | MS_PRIVATE)
            answer = ("returned", function())
        except BaseException as error:
            answer = ("raised", f"{type(error).__name__}: {error}")
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        kind, value = pickle.load(stream)
    os.waitpid(pid, 0)
    assert kind == "returned", value
    return value


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    assert LIBC.mount(*words[:3], ctypes.c_ulong(flags), words[3]) == 0, os.strerror(ctypes.get_errno())


def refused(call: Callable[[], Any]) -> str:
    """The message of the FileTransactionError that a call must raise."""
    with pytest.raises(FileTransactionError) as caught:
        call()
    return str(caught.value)


# --- what it does -----------------------------------------------------------------------------------


def everything(host: Host) -> list[dict[str, Any]]:
    """One entry of each kind, over the files of :func:`prepare`."""
    return [
        host.file("changed.conf", "new\n"),
        host.file("mode.conf", "same\n", mode="0600"),
        host.file("deep/er/created.conf", "created\n", owner="1", group="2", mode="0640"),
        host.file("keyed.defs", settings={"DAYS": 90}, separator="\t"),
        host.file("gone.conf", state="absent"),
        host.file("never.conf", state="absent"),
        host.file("directory", state="directory", mode="0700"),
        host.file("same.conf", "same\n"),
    ]


def prepare(host: Host) -> None:
    host.write("changed.conf", "old\n")
    host.write("mode.conf", "same\n")
    host.write("keyed.defs", "DAYS 99999\nOTHER 1\n", 0o640)
    host.write("gone.conf", "gone\n", 0o600)
    host.write("same.conf", "same\n")


EXPECTED = {
    "changed.conf": "changed",
    "mode.conf": "attributes",
    "created.conf": "created",
    "keyed.defs": "changed",
    "gone.conf": "absent",
    "directory": "created",
}


def test_check_run_check_run(host: Host) -> None:
    prepare(host)
    untouched = host.snapshot()
    assert verbs(host.run(*everything(host), check=True)) == EXPECTED
    assert host.snapshot() == untouched
    assert not (host.root / "state").exists()

    outcome = host.run(*everything(host))
    assert verbs(outcome) == EXPECTED
    assert outcome.generation == 1
    after = host.snapshot()
    assert after[host.path("changed.conf")][4] == b"new\n"
    assert after[host.path("deep/er/created.conf")][1:] == (1, 2, 0o100640, b"created\n")
    assert after[host.path("deep/er")][1:4] == (0, 0, 0o40755)
    assert after[host.path("keyed.defs")][3:] == (0o100640, b"DAYS\t90\nOTHER 1\n")
    assert after[host.path("directory")][3] == 0o40700
    assert host.path("gone.conf") not in after

    for check in (True, False):
        outcome = host.run(*everything(host), check=check)
        assert verbs(outcome) == {} and outcome.generation is None
        assert len(outcome.unchanged) == len(everything(host))
    assert host.snapshot() == after
    assert names(host.root / "state" / "generations") == ["1"]


def test_a_run_without_changes_writes_nothing(host: Host) -> None:
    host.write("a.conf", "a\n")
    host.run(host.file("a.conf", "a\n"))
    assert not (host.root / "state").exists()


def test_what_is_replaced_is_kept_for_root_alone(host: Host) -> None:
    prepare(host)
    outcome = host.run(*everything(host))
    assert {Path(path).name for path in outcome.backups} == {"changed.conf", "mode.conf", "keyed.defs", "gone.conf"}
    assert Path(outcome.backups[host.path("changed.conf")]).read_text() == "old\n"
    assert Path(outcome.backups[host.path("gone.conf")]).stat().st_mode == 0o100600
    assert (host.root / "state").stat().st_mode == 0o40700
    manifest = json.loads((host.root / "state/generations/1/manifest.json").read_text())
    assert {Path(entry["path"]).name for entry in manifest["entries"]} == EXPECTED.keys()


def test_only_the_given_number_of_generations_is_kept(host: Host) -> None:
    for number in range(1, 6):
        assert host.run(host.file("a.conf", f"{number}\n"), keep=2).generation == number
    assert names(host.root / "state/generations") == ["4", "5"]


def test_extended_attributes_survive_a_replacement(host: Host) -> None:
    path = host.write("a.conf", "old\n")
    os.setxattr(path, "trusted.kijun", b"label")
    host.run(host.file("a.conf", "new\n"))
    assert os.getxattr(path, "trusted.kijun") == b"label"
    assert path.read_text() == "new\n"


def test_a_link_of_root_above_the_target_is_followed(host: Host) -> None:
    (host.etc / "real").mkdir()
    (host.etc / "link").symlink_to("real")
    host.run(host.file("link/a.conf", "a\n"))
    assert (host.etc / "real/a.conf").read_text() == "a\n"
    assert "listed twice" in refused(lambda: host.run(host.file("link/a.conf", "a\n"), host.file("real/a.conf", "a\n")))


def test_a_link_can_be_removed(host: Host) -> None:
    target = host.write("target", "kept\n")
    (host.etc / "link").symlink_to("target")
    assert verbs(host.run(host.file("link", state="absent"))) == {"link": "absent"}
    assert not (host.etc / "link").is_symlink() and target.read_text() == "kept\n"


@pytest.mark.parametrize(
    ("before", "settings", "separator", "after"),
    [
        ("A 1\nB 2\n", {"A": 3}, " ", "A 3\nB 2\n"),
        ("A 1\nB 2\nA 3\n", {"A": 1}, " ", "A 1\nB 2\n"),
        ("A    1\n", {"A": 1}, "\t", "A    1\n"),
        ("B 2", {"A": 1}, " ", "B 2\nA 1\n"),
        ("#A 5\nB 2\n", {"A": 1}, " ", "#A 5\nA 1\nB 2\n"),
        ("AB 1\n A 1\n", {"A": 2}, " ", "AB 1\nA 2\n"),
        ("A=1\nA 2\n", {"A": 3}, "=", "A=3\nA 2\n"),
        ("A = 1\n", {"A": 1}, " = ", "A = 1\n"),
        ("A 1\nB 2\nA 3\n", {"A": None}, " ", "B 2\n"),
        ("A\n", {"A": 1}, " ", "A 1\n"),
        ("", {"A": 1, "B": "x y"}, " ", "A 1\nB x y\n"),
    ],
)
def test_keyed_edit(before: str, settings: dict[str, Any], separator: str, after: str) -> None:
    once = edit_settings(before.encode(), settings, separator)
    assert once.decode() == after
    assert edit_settings(once, settings, separator) == once


def test_keyed_edit_keeps_bytes_that_are_no_text() -> None:
    assert edit_settings(b"# \xff\nA 1\x0cB\n", {"C": 2}, " ") == b"# \xff\nA 1\x0cB\nC 2\n"


def test_diff_shows_content_and_attributes(host: Host) -> None:
    prepare(host)
    parts = [part for change in host.run(*everything(host), check=True).changes for part in diff_of(change)]
    texts = {part["before_header"].replace(str(host.etc), ""): (part["before"], part["after"]) for part in parts}
    assert texts["/changed.conf"] == ("old\n", "new\n")
    assert texts["/gone.conf"] == ("gone\n", "")
    attributes = ("file owner=root group=root mode=0644\n", "file owner=root group=root mode=0600\n")
    assert texts["/mode.conf (attributes)"] == attributes
    assert "/mode.conf" not in texts


def test_a_secret_is_in_no_diff_and_no_error(host: Host) -> None:
    host.write("token", "OLD-SECRET\n")
    secret = host.file("token", "NEW-SECRET\n", secret=True, mode="0600")
    changes = host.run(secret, check=True).changes
    assert [change.verb for change in changes] == ["changed"]
    assert "SECRET" not in json.dumps([diff_of(change) for change in changes])
    message = refused(lambda: host.run({**secret, "validate": "sh -c 'cat %s >&2; exit 3'"}))
    assert "exit status 3" in message and "token" in message and "SECRET" not in message
    message = refused(lambda: host.run(secret, validators=[["sh", "-c", f"cat {host.path('token')} >&2; exit 4"]]))
    assert "exit status 4" in message and "SECRET" not in message
    assert not (host.root / "run/candidate").exists()
    assert names(host.root / "run/view") == []


# --- the candidate view -----------------------------------------------------------------------------


def shell(script: str) -> list[str]:
    return ["sh", "-ec", script]


def test_validators_see_the_whole_configuration_at_its_real_paths(host: Host) -> None:
    prepare(host)
    script = f"""cd {host.etc}
        grep -q new changed.conf; grep -q same same.conf; grep -q created deep/er/created.conf
        test ! -e gone.conf; test "$(stat -c %u:%g:%a deep/er/created.conf)" = 1:2:640
        touch {host.etc}/left-by-validator"""
    host.run(*everything(host), validators=[shell(script)])
    assert not (host.etc / "left-by-validator").exists()
    assert (host.etc / "changed.conf").read_text() == "new\n"


def test_a_failing_validator_changes_nothing(host: Host) -> None:
    prepare(host)
    untouched = host.snapshot()
    bad = shell("echo line 7 is wrong >&2; exit 5")
    for check in (True, False):
        message = refused(lambda check=check: host.run(*everything(host), validators=[bad], check=check))
        assert "exit status 5" in message and "line 7 is wrong" in message and host.path("changed.conf") in message
    assert host.snapshot() == untouched
    assert not (host.root / "state").exists()


def test_a_failing_validator_of_one_file_changes_nothing(host: Host) -> None:
    untouched = host.snapshot()
    files = [host.file("a", "a\n"), host.file("b", "b\n", validate="sh -c 'echo no good >&2; grep -q x %s'")]
    message = refused(lambda: host.run(*files))
    assert "no good" in message and host.path("b") in message
    assert host.snapshot() == untouched
    host.run(host.file("b", "x\n", mode="0440", validate="sh -c 'test $(stat -c %a %s) = 440'"))


def test_a_command_that_is_not_installed(host: Host) -> None:
    files = [host.file("a", "a\n", validate="no-such-checker -c %s")]
    outcome = host.run(*files, validators=[["no-such-validator"]], check=True)
    assert verbs(outcome) == {"a": "created"}
    assert "no-such-checker" in outcome.unvalidated[0] and "no-such-validator" in outcome.unvalidated[1]
    assert "no-such-checker" in refused(lambda: host.run(*files))
    message = refused(lambda: host.run(host.file("a", "a\n"), validators=[["no-such-validator"]]))
    assert "no-such-validator" in message and not (host.etc / "a").exists()


def test_a_command_that_hangs_is_ended(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_view, "COMMAND_TIMEOUT", 0.3)
    message = refused(lambda: host.run(host.file("a", "a\n"), validators=[shell("sleep 60")]))
    assert "still running after 0.3 seconds" in message and not (host.etc / "a").exists()


def generator(host: Host, script: str, *reads: str) -> Generator:
    return Generator(shell(script), [host.path("made")], [host.path(name) for name in reads])


def test_what_a_generator_does_becomes_part_of_the_transaction(host: Host) -> None:
    for name in ("made/kept", "made/edited", "made/removed"):
        host.write(name, "old\n")
    script = f"""cd {host.etc}/made
        cat ../input.conf > edited; rm removed; echo new > created; ln -s created link; chmod 600 kept"""
    files = [host.file("input.conf", "input\n")]
    expected = {
        "input.conf": "created",
        "edited": "changed",
        "removed": "absent",
        "created": "created",
        "link": "created",
        "kept": "attributes",
    }
    runs = [verbs(host.run(*files, generators=[generator(host, script)], check=c)) for c in (True, False, True, False)]
    assert runs == [expected, expected, {}, {}]
    made = host.etc / "made"
    assert made.joinpath("edited").read_text() == "input\n" and made.joinpath("link").read_text() == "new\n"
    assert not made.joinpath("removed").exists()


def test_a_generator_runs_again_only_when_something_could_differ(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write("made/out", "0\n")
    host.write("read/in", "1\n")
    views = []

    def counting(*args: Any, **options: Any) -> candidate_view.Preview:
        views.append(args)
        return candidate_view.preview(*args, **options)

    monkeypatch.setattr(file_transaction, "preview", counting)

    def run() -> tuple[int, int]:
        """Run the step: how many files changed, and how often the generator has run by now."""
        one = generator(host, f"cat {host.etc}/read/in > {host.etc}/made/out", "read")
        return len(host.run(host.file("a", "a\n"), generators=[one]).changes), len(views)

    assert run() == (2, 1)
    assert run() == (0, 1)
    host.write("made/out", "by hand\n")
    assert run() == (1, 2)
    host.write("read/in", "2\n")
    assert run() == (1, 3)
    host.write("read/in", "2\n", mode=0o600)
    assert run() == (0, 4)
    assert run() == (0, 4)
    (host.etc / "a").unlink()
    assert run() == (1, 5)


def test_a_generator_must_declare_what_it_writes(host: Host) -> None:
    host.write("made/out", "0\n")
    one = generator(host, f"echo 1 > {host.etc}/elsewhere")
    message = refused(lambda: host.run(host.file("a", "a\n"), generators=[one]))
    assert host.path("elsewhere") in message and not (host.etc / "elsewhere").exists()
    one = generator(host, f"echo 1 > {host.etc}/a")
    message = refused(lambda: host.run(host.file("a", "a\n"), generators=[Generator(one.command, [str(host.etc)])]))
    assert "also lists in files" in message and not (host.etc / "a").exists()


def test_commands_cannot_write_outside_the_view(host: Host) -> None:
    stray = Path("/var/lib/kijun-stray-write")
    host.run(
        host.file("a", "a\n"), validators=[shell(f"! touch {stray}; touch /var/tmp/kijun-scratch; test -w /dev/null")]
    )
    assert not stray.exists() and not Path("/var/tmp/kijun-scratch").exists()


def test_a_mount_below_a_covered_directory_stays_in_sight_and_unwritten(host: Host) -> None:
    host.write("sub/file", "on the disk\n")

    def inside() -> None:
        mount("tmpfs", str(host.etc / "sub"), "tmpfs", 0, "mode=0755")
        host.write("sub/file", "on the mount\n")
        script = f"grep -q 'on the mount' {host.etc}/sub/file; ! touch {host.etc}/sub/stray"
        host.run(host.file("a", "a\n"), validators=[shell(script)])
        host.run(host.file("sub/new", "n\n"), host.file("b", "b\n"), validators=[shell(f"cat {host.etc}/sub/*")])
        assert names(host.etc / "sub") == ["file", "new"]

    apart(inside)
    assert (host.etc / "sub/file").read_text() == "on the disk\n"


def test_without_overlays_the_view_works_on_a_copy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    original = candidate_view._mount

    def no_overlay(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
        if kind == "overlay":
            raise OSError(22, "Invalid argument", target)
        original(source, target, kind, flags, options)

    monkeypatch.setattr(candidate_view, "_mount", no_overlay)
    prepare(host)
    host.write("made/out", "0\n")
    one = generator(host, f"cat {host.etc}/changed.conf {host.etc}/same.conf > {host.etc}/made/out")
    outcome = host.run(*everything(host), generators=[one], validators=[shell("touch /var/tmp/kijun-scratch")])
    assert verbs(outcome) == {**EXPECTED, "out": "changed"}
    assert (host.etc / "made/out").read_text() == "new\nsame\n"
    assert not Path("/var/tmp/kijun-scratch").exists()


def test_a_host_that_refuses_namespaces_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoUnshare:
        prctl = staticmethod(lambda *_: 0)

        @staticmethod
        def unshare(_flags: int) -> int:
            ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(candidate_view, "_libc", NoUnshare)
    message = refused(lambda: host.run(host.file("a", "a\n"), validators=[["true"]]))
    assert "mount namespace" in message and "Operation not permitted" in message and not (host.etc / "a").exists()
    assert verbs(host.run(host.file("a", "a\n"))) == {"a": "created"}


# --- what it refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "etc/a"}, ["etc/a", "absolute"]),
        ({"path": "/etc/../a"}, ["/etc/../a", ".."]),
        ({"path": "/etc/a/"}, ["/etc/a/"]),
        ({"path": "/"}, ["/"]),
        ({"mode": "0888"}, ["0888", "octal"]),
        ({"mode": "u=rw"}, ["u=rw", "octal"]),
        ({"owner": "nobody-such"}, ["owner", "nobody-such", "existing name"]),
        ({"group": "nogroup-such"}, ["group", "nogroup-such"]),
        ({"validate": "visudo -c"}, ["visudo -c", "%s"]),
        ({"content": None, "settings": {"A": True}}, ["settings", "A", "True", "quotes"]),
        ({"content": None, "settings": {"A B": 1}}, ["A B", "blanks"]),
        ({"content": None, "settings": {"A": "1\n2"}}, ["one line"]),
        ({"content": None, "settings": {"A": 1}}, ["does not exist"]),
    ],
)
def test_bad_entries(host: Host, options: dict[str, Any], words: list[str]) -> None:
    entry = {**host.file("a", "a\n"), **options}
    for check in (False, True):
        if check and ("owner" in options or "group" in options):
            continue  # a package that is not installed yet may bring it: see the next test
        message = refused(lambda check=check: host.run(host.file("good", "x\n"), entry, check=check))
        assert all(word in message for word in [*words, entry["path"]]), message
    assert host.snapshot() == {}


def test_an_owner_that_a_package_will_bring(host: Host) -> None:
    entry = host.file("a", "a\n", group="nogroup-such")
    outcome = host.run(entry, check=True, validators=[["true"]])
    assert verbs(outcome) == {"a": "created"}
    assert "nogroup-such" in outcome.unvalidated[0]


def test_what_stands_in_the_way(host: Host) -> None:
    (host.etc / "directory").mkdir()
    host.write("file", "x\n")
    (host.etc / "link").symlink_to("file")
    os.mkfifo(host.etc / "pipe")
    assert "is a directory" in refused(lambda: host.run(host.file("directory", "x\n")))
    assert "is a directory" in refused(lambda: host.run(host.file("directory", state="absent")))
    assert "is a file" in refused(lambda: host.run(host.file("file", state="directory")))
    assert "not a directory" in refused(lambda: host.run(host.file("file/below", "x\n")))
    message = refused(lambda: host.run(host.file("link", "attack\n")))
    assert "symbolic link to file" in message
    assert "pipe" in refused(lambda: host.run(host.file("pipe", "x\n")))
    assert "listed twice" in refused(lambda: host.run(host.file("file", "1\n"), host.file("file", "2\n")))
    assert (host.etc / "file").read_text() == "x\n"


def test_directories_that_others_could_redirect(host: Host) -> None:
    for name in ("owned", "group", "world", "sticky", "safe"):
        (host.etc / name).mkdir()
    os.chown(host.etc / "owned", 1000, 0)
    os.chown(host.etc / "group", 0, 1000)
    (host.etc / "group").chmod(0o775)
    (host.etc / "world").chmod(0o757)
    (host.etc / "sticky").chmod(0o1777)
    (host.etc / "link").symlink_to("safe")
    os.chown(host.etc / "link", 1000, 1000, follow_symlinks=False)
    for name, words in {
        "owned/a": "user id 1000",
        "owned/deep/a": "user id 1000",
        "group/a": "0775",
        "world/a": "0757",
        "sticky/a": "1777",
        "link/a": "user id 1000",
    }.items():
        for check in (True, False):
            message = refused(lambda name=name, check=check: host.run(host.file(name, "x\n"), check=check))
            assert words in message and str(host.etc / name.split("/")[0]) in message
    (host.etc / "sticky/roots").mkdir()
    host.run(host.file("sticky/roots/a", "x\n"))
    assert (host.etc / "sticky/roots/a").read_text() == "x\n"
    assert names(host.etc / "safe") == []


def test_endless_links(host: Host) -> None:
    (host.etc / "one").symlink_to("two")
    (host.etc / "two").symlink_to("one")
    assert "symbolic links" in refused(lambda: host.run(host.file("one/a", "x\n")))


def test_a_target_swapped_for_a_link_while_staging_is_replaced_not_followed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window between planning and renaming: a rename replaces the link itself."""
    victim = host.write("victim", "untouched\n")
    host.write("a.conf", "old\n")
    original = file_commit.FileStore._stage

    def swap(self: file_commit.FileStore, journal: Any, changes: Any) -> None:
        original(self, journal, changes)
        (host.etc / "a.conf").unlink()
        (host.etc / "a.conf").symlink_to("victim")

    monkeypatch.setattr(file_commit.FileStore, "_stage", swap)
    host.run(host.file("a.conf", "new\n"))
    assert victim.read_text() == "untouched\n"
    assert not (host.etc / "a.conf").is_symlink() and (host.etc / "a.conf").read_text() == "new\n"


def test_a_full_disk_changes_nothing(host: Host) -> None:
    def inside() -> tuple[str, bool]:
        mount("tmpfs", str(host.etc), "tmpfs", 0, "size=64k,mode=0755")
        prepare(host)
        untouched = host.snapshot()
        big = [host.file("changed.conf", "new\n"), host.file("new/big.conf", "x" * 200_000)]
        return refused(lambda: host.run(*big)), host.snapshot() == untouched

    message, same = apart(inside)
    assert "No space left on device" in message and "big.conf" in message and same
    assert not (host.root / "state/journal.json").exists()


def test_a_full_disk_under_the_journal_changes_nothing(host: Host) -> None:
    def inside() -> tuple[str, bool]:
        host.write("a.conf", "x" * 200_000)
        (host.root / "state").mkdir()
        mount("tmpfs", str(host.root / "state"), "tmpfs", 0, "size=64k,mode=0700")
        untouched = host.snapshot()
        message = refused(lambda: host.run(host.file("a.conf", "new\n"), host.file("b.conf", "b\n")))
        return message, host.snapshot() == untouched

    message, same = apart(inside)
    assert "No space left on device" in message and same


@pytest.mark.parametrize("which", ["etc", "state"])
def test_a_read_only_file_system(host: Host, which: str) -> None:
    host.write("a.conf", "old\n")

    def inside() -> list[str]:
        place = host.root / which
        place.mkdir(exist_ok=True)
        mount(str(place), str(place), None, MS_BIND)
        mount(None, str(place), None, MS_REMOUNT | MS_BIND | MS_RDONLY)
        checks = (True, False) if which == "etc" else (False,)
        return [refused(lambda check=check: host.run(host.file("a.conf", "new\n"), check=check)) for check in checks]

    for message in apart(inside):
        assert "ead-only file system" in message and str(host.root / which) in message
    assert (host.etc / "a.conf").read_text() == "old\n"


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    """chattr +i while the block runs."""
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("l", fcntl.ioctl(fd, 0x80086601, struct.pack("l", 0)))[0]
        fcntl.ioctl(fd, 0x40086602, struct.pack("l", flags | 0x10))
    except OSError as error:
        os.close(fd)
        pytest.skip(f"the temporary directory's file system has no immutable attribute: {error}")
    try:
        yield
    finally:
        fcntl.ioctl(fd, 0x40086602, struct.pack("l", flags))
        os.close(fd)


def test_an_immutable_target(host: Host) -> None:
    path = host.write("a.conf", "old\n")
    with immutable(path):
        for check in (True, False):
            message = refused(
                lambda check=check: host.run(host.file("b", "b\n"), host.file("a.conf", "n\n"), check=check)
            )
            assert "immutable" in message and str(path) in message
    with immutable(host.etc):
        assert "immutable" in refused(lambda: host.run(host.file("b", "b\n")))
    assert [*host.snapshot()] == [str(path)]


def test_a_mounted_target(host: Host) -> None:
    host.write("a.conf", "old\n")
    host.write("other", "other\n")

    def inside() -> str:
        mount(host.path("other"), host.path("a.conf"), None, MS_BIND)
        return refused(lambda: host.run(host.file("a.conf", "new\n"), host.file("b", "b\n"), check=True))

    assert "mounted exactly there" in apart(inside)


def test_a_rename_that_fails_puts_everything_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(host)
    untouched = host.snapshot()
    original, renamed = os.rename, []

    def third_fails(source: str, target: str, **fds: Any) -> None:
        if "src_dir_fd" in fds:
            renamed.append(target)
            if len(renamed) == 3:
                raise OSError(5, "Input/output error", source, None, target)
        original(source, target, **fds)

    monkeypatch.setattr(os, "rename", third_fails)
    message = refused(lambda: host.run(*everything(host)))
    assert "Input/output error" in message and "put back" in message
    assert host.snapshot() == untouched
    assert names(host.root / "state/generations") == []


def test_a_second_run_waits_for_the_first(host: Host) -> None:
    host.run(host.file("a", "1\n"))
    lock = os.open(host.root / "run/config_files.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        os.close(lock)  # or the waiting process would hold the lock itself
        host.run(host.file("a", "2\n"))
        os._exit(0)
    time.sleep(0.3)
    assert (host.etc / "a").read_text() == "1\n"
    os.close(lock)
    assert os.waitpid(pid, 0)[1] == 0
    assert (host.etc / "a").read_text() == "2\n"


# --- killed at every step ---------------------------------------------------------------------------

# Every call of the commit by which something on the disk changes or becomes durable.
STEPS = ("rename", "unlink", "rmdir", "mkdir", "symlink", "fchown", "fsync")


def killed_run(step: int, also_parent: bool, begin: str, function: Callable[[], Any], killed: Path) -> int:
    """Call a function in a forked process that dies of SIGKILL right before a given step.

    :param step: number of the step, counted from the moment that the function named by ``begin`` is entered.
    :param also_parent: kill the process that waits for the commit, too, as a power loss does.
    :param killed: made when that step was reached.
    :returns: the process's wait status; 0 when the function returned, 256 when it refused.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    count = [-1]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if count[0] >= 0:
                count[0] += 1
            if count[0] == step:
                killed.touch()
                if also_parent:
                    os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    started = getattr(file_commit.FileStore, begin)

    def start(*args: Any) -> Any:
        count[0] = 0
        return started(*args)

    setattr(file_commit.FileStore, begin, start)
    try:
        function()
    except FileTransactionError:
        os._exit(1)
    except BaseException:
        os._exit(99)
    os._exit(0)


def prepare_rich(root: Path) -> Host:
    root.mkdir()
    host = Host(root)
    prepare(host)
    for name in ("made/edited", "made/removed", "made/below/removed"):
        host.write(name, "1\n")
    return host


def commit_rich(host: Host) -> None:
    """Commit every kind of change: contents, attributes, links, directories, created, replaced and removed."""

    def state(kind: str, content: bytes = b"", mode: int = 0o644) -> FileState:
        return FileState(kind, content, 0, 0, mode)

    after = {
        "changed.conf": state("file", b"new\n"),
        "mode.conf": state("file", b"same\n", 0o600),
        "deep/er/created.conf": state("file", b"created\n"),
        "gone.conf": None,
        "directory": state("directory", mode=0o700),
        "made": state("directory", mode=0o750),
        "made/edited": state("file", b"2\n"),
        "made/removed": None,
        "made/below": None,
        "made/below/removed": None,
        "made/link": state("link", b"edited", 0o777),
    }
    changes = [
        Change(host.path(name), host.path(name), read_state(host.path(name)), new) for name, new in after.items()
    ]
    with host.step()._lock():
        host.step().store.commit([change for change in changes if change.before != change.after], keep=5)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: hundreds of commits with all their flushes would take minutes on a disk."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ends(memory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The old and the new state of :func:`commit_rich`."""
    host = prepare_rich(memory / "ends")
    old = relative(host)
    commit_rich(host)
    return old, relative(host)


def relative(host: Host) -> dict[str, Any]:
    return {path.removeprefix(str(host.root)): value for path, value in host.snapshot().items()}


def test_the_committing_child_killed_at_every_step(memory: Path, ends: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The process that waits for it brings its work to one of the two ends at once, and says which."""
    old, new = ends
    seen = []
    for step in range(1, 1000):
        host = prepare_rich(memory / str(step))
        killed = host.root / "killed"
        status = killed_run(step, False, "_stage_and_commit", lambda host=host: commit_rich(host), killed)
        assert relative(host) == (new if status == 0 else old), f"step {step}, status {status}"
        assert not (host.root / "state/journal.json").exists()
        seen.append(status)
        if not killed.exists():
            break
        commit_rich(host)
        assert relative(host) == new
    assert set(seen) == {0, 256} and len(seen) > 40


def test_everything_killed_at_every_step(memory: Path, ends: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """As by a power loss: the next step brings it to one of the two ends; check mode foresees which."""
    old, new = ends
    seen = []
    for step in range(1, 1000):
        host = prepare_rich(memory / str(step))
        killed = host.root / "killed"
        killed_run(step, True, "_stage_and_commit", lambda host=host: commit_rich(host), killed)
        if not killed.exists():
            break
        wait_for_lock(host)
        before = relative(host)
        foreseen, to_be_new = host.step().store.preview_recovery()
        assert relative(host) == before
        _direction, now_new = host.step().store.recover()
        state = relative(host)
        assert state in (old, new), f"step {step}: neither the old state nor the new one: {state}"
        assert sorted(now_new) == to_be_new, f"step {step}: check mode did not foresee the recovery"
        assert all(read_state(path) == value for path, value in foreseen.items())
        assert not (host.root / "state/journal.json").exists()
        seen.append("new" if state == new else "old")
        commit_rich(host)
        assert relative(host) == new
    assert set(seen) == {"old", "new"} and len(seen) > 40


def wait_for_lock(host: Host) -> None:
    with (host.root / "run/config_files.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def test_killed_at_every_step_of_a_recovery(memory: Path, ends: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """A second fault: the recovery of an interrupted commit is interrupted too, forwards and backwards."""
    old, new = ends
    reached = set()
    for damage in (False, True):
        for step in range(1, 500):
            host = prepare_rich(memory / f"{damage}-{step}")
            killed = host.root / "killed"
            # Interrupt the commit in its middle, where some files are renamed and others not.
            killed_run(6, True, "_roll_forward", lambda host=host: commit_rich(host), killed)
            wait_for_lock(host)
            assert json.loads((host.root / "state/journal.json").read_text())["phase"] == "commit"
            assert relative(host) not in (old, new)
            if damage:
                sorted(host.etc.rglob(".kijun-*~"))[0].write_text("damaged by the power loss")
            killed.unlink()
            killed_run(step, False, "recover", lambda host=host: host.step().store.recover(), killed)
            host.step().store.recover()
            state = relative(host)
            assert state == (old if damage else new), f"step {step} of a recovery, damage: {damage}"
            reached.add(damage)
            if not killed.exists():
                break
        assert step > 10
    assert reached == {True, False}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Kill the module process alone: the committing child carries on, with nobody's help."""
    picks = random.Random(1)
    seen = []
    length = 0.0  # of a whole run: the first one is left alone, and measured
    for number in range(31):
        root = tmp_path / str(number)
        root.mkdir()
        host = Host(root)
        for name in range(20):
            host.write(f"{name}.conf", "old\n")
        host.run(host.file("warm", "up\n"))
        old = relative(host)
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            host.run(*(host.file(f"{name}.conf", "new\n") for name in range(20)))
            os._exit(0)
        if number:
            time.sleep(picks.uniform(0.0, 1.5 * length))
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        length = length or time.monotonic() - started
        wait_for_lock(host)
        contents = {value[4] for path, value in relative(host).items() if path.endswith(".conf")}
        assert contents in ({b"old\n"}, {b"new\n"}), contents
        assert contents == {b"new\n"} or relative(host) == old
        seen.append(contents.pop())
    assert set(seen[1:]) == {b"old\n", b"new\n"}, "no kill hit before, or none after, the commit began"


def test_a_damaged_journal_is_not_guessed_at(host: Host) -> None:
    host.run(host.file("a", "1\n"))
    (host.root / "state/journal.json").write_text("{")
    assert "journal.json" in refused(lambda: host.run(host.file("a", "2\n")))
    assert (host.etc / "a").read_text() == "1\n"


def test_a_recovery_is_reported_as_change(host: Host) -> None:
    for name in ("a", "b", "c"):
        host.write(name, "old\n")
    files = [host.file(name, "new\n") for name in ("a", "b", "c")]
    killed_run(3, True, "_roll_forward", lambda: host.run(*files), host.root / "killed")
    wait_for_lock(host)
    foreseen = host.run(*files, check=True)
    outcome = host.run(*files)
    assert foreseen.recovered == outcome.recovered == [host.path(name) for name in ("a", "b", "c")]
    assert outcome.changes == [] and {value[4] for value in host.snapshot().values()} == {b"new\n"}


def test_states_describe_themselves(host: Host) -> None:
    state = read_state(str(host.write("a", "a\n")))
    assert state is not None and matches(state, state.describe())
    assert not matches(None, state.describe()) and matches(None, None)
