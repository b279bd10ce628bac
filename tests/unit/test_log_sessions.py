# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sessions, from what a host sends to what a reader gets; and what a hostile host may send instead."""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.logs import blocks, sessions
from ansible_collections.kijun.baseline.plugins.module_utils.logs.sessions import Unfit
from kijun_tools import tree

NAME = "worker/00/00/1A"
CONTENT = {
    "log": b"1795877448:worker:root::/dev/pts/0:24:80\n/home/worker\n/bin/echo \xe7\x9b\xa3 \x1b[2J\n",
    "timing": b"1 0.5 3\n",
    "ttyout": bytes(range(256)) * 3000,
}


def program() -> ModuleType:
    """The sender, as a module."""
    path = tree.ROOT / "roles" / "log_forwarding" / "files" / "kijun-session-sender"
    loader = importlib.machinery.SourceFileLoader("kijun_session_sender", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The sender of a host with one session, and an rsyslog that reads all at once."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    module = program()
    for name, folder in (("SESSIONS", "io"), ("SPOOL", "spool"), ("OUTBOX", "spool/sessions"), ("STATE", "state")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(module, name, str(tmp_path / folder))
    monkeypatch.setattr(module, "ENDS", str(tmp_path / "spool/ends"))
    monkeypatch.setattr(module, "running", lambda: "epoch1")
    write_session(tmp_path / "io", NAME)
    module.read_by_rsyslog = []

    def wait_for(self: Any, path: str) -> None:
        module.read_by_rsyslog += Path(path).read_bytes().splitlines()

    monkeypatch.setattr(module.Sender, "wait_for", wait_for)
    return module


def write_session(folder: Path, name: str, content: dict[str, bytes] = CONTENT) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    for file, data in content.items():
        (path / file).write_bytes(data)
    (path / "timing").chmod(0o400)
    return path


def line(message: str, kind: str = "session", number: int = 1) -> bytes:
    """A record as the log server writes it down."""
    record = {
        "epoch": "e" * 32,
        "seq": number,
        "time": "2026-11-28T00:00:00Z",
        "host": "web1",
        "kind": kind,
        "msg": message,
    }
    return f"2026-11-28T00:00:0{number % 10}.0+00:00 web1 {json.dumps(record)}\n".encode()


def store(tmp_path: Path, lines: list[bytes], packed: bool = False) -> str:
    path = tmp_path / "hosts" / "web1" / "2026-11-28.session.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    if packed:
        blocks.compress(str(path), f"{path}.gz")
        path.unlink()
    return str(tmp_path / "hosts")


def parts(whole: bytes, **changes: Any) -> list[dict[str, Any]]:
    """Parts as a host sends them, of any content."""
    count = -(-len(whole) // sessions.PART)
    return [
        {
            "session": NAME,
            "sha256": hashlib.sha256(whole).hexdigest(),
            "bytes": len(whole),
            "part": n + 1,
            "parts": count,
            "data": base64.urlsafe_b64encode(whole[n * sessions.PART : (n + 1) * sessions.PART]).decode(),
            **changes,
        }
        for n in range(count)
    ]


def packed_files(files: list[list[Any]], content: bytes, cut: Any = 0) -> bytes:
    return json.dumps({"files": files, "cut": cut}).encode() + b"\n" + content


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_sent_is_what_is_extracted(host: ModuleType, tmp_path: Path, compressed: bool) -> None:
    assert host.Sender("epoch1", 0).run([])["waiting"] == 0
    assert len(host.read_by_rsyslog) == 4
    folder = store(tmp_path, [line(text.decode(), number=n) for n, text in enumerate(host.read_by_rsyslog)], compressed)
    [found] = sessions.sessions("web1", folder)
    assert found.missing() == []
    assert sessions.told(found) == "root at /dev/pts/0: /bin/echo 監 \\u001b[2J"
    path = Path(sessions.extract(found, str(tmp_path / "out")))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == CONTENT
    assert (path / "timing").stat().st_mode & 0o777 == 0o400
    assert path.stat().st_mode & 0o777 == 0o700


def test_the_persons_environment_stays_on_the_host(host: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "io" / NAME / "log.json").write_text('{"submitenv": ["TOKEN=secret"]}', encoding="utf-8")
    host.Sender("epoch1", 0).run([])
    assert b"secret" not in b"".join(
        base64.urlsafe_b64decode(json.loads(text)["data"]) for text in host.read_by_rsyslog
    )


def test_it_is_sent_once_and_again_when_asked_or_changed(host: ModuleType, tmp_path: Path) -> None:
    def sent() -> int:
        host.read_by_rsyslog.clear()
        host.Sender("epoch1", 0).run([])
        return len(host.read_by_rsyslog)

    assert (sent(), sent()) == (4, 0)
    host.read_by_rsyslog.clear()
    host.Sender("epoch1", 0).run([NAME])
    assert len(host.read_by_rsyslog) == 4
    timing = tmp_path / "io" / NAME / "timing"
    timing.unlink()
    timing.write_bytes(b"2 0.5 3\n")
    timing.chmod(0o400)
    assert (sent(), sent()) == (4, 0)
    # What is no longer there is forgotten.
    (tmp_path / "io" / NAME).rename(tmp_path / "elsewhere")
    assert sent() == 0
    assert (tmp_path / "state" / "sent").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(("ends", "again"), [("epoch0\nepoch1\n", 0), ("epoch0\n", 4)])
def test_an_end_out_of_order_makes_it_doubtful(host: ModuleType, tmp_path: Path, ends: str, again: int) -> None:
    host.Sender("epoch1", 0).run([])
    (tmp_path / "spool" / "ends").write_text(ends, encoding="utf-8")
    host.read_by_rsyslog.clear()
    host.Sender("epoch2", 0).run([])
    assert len(host.read_by_rsyslog) == again
    host.read_by_rsyslog.clear()
    host.Sender("epoch2", 0).run([])
    assert host.read_by_rsyslog == []


def test_half_a_note_counts_for_nothing(host: ModuleType, tmp_path: Path) -> None:
    host.Sender("epoch1", 0).run([])
    note = tmp_path / "state" / "sent"
    note.write_text(note.read_text(encoding="utf-8")[:-3], encoding="utf-8")
    host.read_by_rsyslog.clear()
    host.Sender("epoch1", 0).run([])
    assert len(host.read_by_rsyslog) == 4


def test_a_session_that_goes_on_waits_for_its_end(host: ModuleType, tmp_path: Path) -> None:
    timing = tmp_path / "io" / NAME / "timing"
    timing.chmod(0o600)
    assert list(host.recorded(boot=0, now=timing.stat().st_mtime + 100)) == []
    # Cut off by a power cut; or left alone for a day.
    assert len(list(host.recorded(boot=timing.stat().st_mtime + 1, now=timing.stat().st_mtime + 100))) == 1
    assert len(list(host.recorded(boot=0, now=timing.stat().st_mtime + host.ABANDONED + 1))) == 1


def test_what_is_too_large_is_cut_and_says_so(
    host: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "LARGEST", 200)
    host.Sender("epoch1", 0).run([])
    [found] = sessions.sessions("web1", store(tmp_path, [line(host.read_by_rsyslog[0].decode())]))
    files = sessions.whole(found)
    assert sum(map(len, files.values())) == 200
    assert files["log"] == CONTENT["log"]
    assert f"its last {sum(map(len, CONTENT.values())) - 200} bytes were left out" in capsys.readouterr().err


def test_links_lead_nowhere(host: ModuleType, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 100)
    (tmp_path / "io" / NAME / "ttyout").unlink()
    (tmp_path / "io" / NAME / "ttyout").symlink_to(secret)
    other = write_session(tmp_path / "io", "worker/00/00/1B")
    status = host.Sender("epoch1", 0).run([])
    assert (status["waiting"], NAME in status["problem"]) == (1, True)
    assert {json.loads(text)["session"] for text in host.read_by_rsyslog} <= {"worker/00/00/1B", NAME}
    assert other.name == "1B"
    assert b"c2VjcmV0" not in b"".join(host.read_by_rsyslog)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    data = packed_files([["ttyout", 500000]], b"x" * 500000)
    sent = [line(json.dumps(part)) for part in parts(data)]
    [found] = sessions.sessions("web1", store(tmp_path, sent[:1] + sent[2:]))
    assert found.missing() == [2]
    with pytest.raises(Unfit, match="part 2 of 3 is missing"):
        sessions.extract(found, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_comes_twice_counts_once_and_the_first_counts(tmp_path: Path) -> None:
    data = packed_files([["ttyout", 5]], b"first")
    [part] = parts(data)
    forged = {**part, "data": base64.urlsafe_b64encode(b"y" * len(data)).decode()}
    [found] = sessions.sessions("web1", store(tmp_path, [line(json.dumps(p)) for p in (part, part, forged)]))
    assert sessions.whole(found) == {"ttyout": b"first"}
    [found] = sessions.sessions("web1", store(tmp_path, [line(json.dumps(p)) for p in (forged, part)]))
    with pytest.raises(Unfit, match="the SHA-256 differs"):
        sessions.whole(found)


def test_two_sessions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    both = [packed_files([["ttyout", 1]], b"a"), packed_files([["ttyout", 1]], b"b")]
    found = sessions.sessions("web1", store(tmp_path, [line(json.dumps(p)) for data in both for p in parts(data)]))
    with pytest.raises(Unfit, match="more than one session"):
        sessions.chosen(found, NAME)
    digits = hashlib.sha256(both[1]).hexdigest()[:12]
    assert sessions.whole(sessions.chosen(found, f"{NAME}@{digits}")) == {"ttyout": b"b"}
    with pytest.raises(Unfit, match="there is no session"):
        sessions.chosen(found, "worker/00/00/1C")


GOOD_DATA = packed_files([["ttyout", 1]], b"a")
HOSTILE = {
    "up": {"session": "../../etc/00/00/01"},
    "root": {"session": "/etc/00/00/01"},
    "dots": {"session": "../00/00/01"},
    "newline": {"session": NAME + "\n"},
    "number": {"session": 7},
    "large": {"bytes": sessions.LARGEST + 1, "parts": 343},
    "negative": {"bytes": -1},
    "true": {"bytes": True, "parts": True},
    "many": {"parts": 10**9},
    "part": {"part": 2},
    "none": {"part": 0},
    "hash": {"sha256": "../x"},
    "nodata": {"data": None},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_part_that_cannot_be_one_is_left_out(tmp_path: Path, what: str) -> None:
    [part] = parts(GOOD_DATA, **HOSTILE[what])
    assert sessions.sessions("web1", store(tmp_path, [line(json.dumps(part))])) == []


@pytest.mark.parametrize(
    "lines",
    [
        b"\n",
        b"a b\n",
        b"a b {\n",
        b"a b [1]\n",
        b'a b {"kind":"session","msg":7}\n',
        b'a b {"kind":"session","msg":"[]"}\n',
        b"a b " + b"[" * 100000 + b"\n",
        line("[" * 100000),
        line("x", kind="system"),
        b"x" * 600000 + b"\n",
        b"\xff\xfe {}\n",
    ],
)
def test_other_lines_are_passed_over(tmp_path: Path, lines: bytes) -> None:
    [part] = parts(GOOD_DATA)
    [found] = sessions.sessions("web1", store(tmp_path, [lines, line(json.dumps(part))]))
    assert sessions.whole(found) == {"ttyout": b"a"}


@pytest.mark.parametrize(
    "data",
    [
        b"no json\na",
        packed_files([["../../escaped", 1]], b"a"),
        packed_files([["seq", 1]], b"a"),
        packed_files([["ttyout", -1]], b"a"),
        packed_files([["ttyout", 2]], b"a"),
        packed_files([["ttyout", 0]], b"a"),
        packed_files([["ttyout", 1], ["ttyout", 1]], b"ab"),
        packed_files([["ttyout", 1.0]], b"a"),
        packed_files([["ttyout", 1]], b"a", cut="much"),
        b"{}\n",
        b"[" * 4000 + b"\n",
        b" " * 5000 + packed_files([["ttyout", 1]], b"a"),
    ],
)
def test_a_whole_that_is_no_session_is_refused(tmp_path: Path, data: bytes) -> None:
    [found] = sessions.sessions("web1", store(tmp_path, [line(json.dumps(part)) for part in parts(data)]))
    with pytest.raises(Unfit):
        sessions.extract(found, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_where_there_is_something(tmp_path: Path) -> None:
    [found] = sessions.sessions("web1", store(tmp_path, [line(json.dumps(part)) for part in parts(GOOD_DATA)]))
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("there", "link", "lacking/below"):
        with pytest.raises(Unfit):
            sessions.extract(found, str(tmp_path / name))
    assert list((tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("sender", ["web2", "..", ".", "", "web1/../web1", "/"])
def test_a_sender_that_is_none_is_told(tmp_path: Path, sender: str) -> None:
    with pytest.raises(Unfit, match="there is no sender"):
        sessions.sessions(sender, store(tmp_path, []))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store(tmp_path, [line(json.dumps(part)) for part in parts(GOOD_DATA)])
    real = sessions.sessions
    monkeypatch.setattr(sessions, "sessions", lambda sender: real(sender, folder))
    monkeypatch.chdir(tmp_path)
    assert sessions.main(["list", "web1"]) == 0
    assert (
        f"{NAME}  {hashlib.sha256(GOOD_DATA).hexdigest()[:12]}  {len(GOOD_DATA)} bytes  whole  -"
        in capsys.readouterr().out
    )
    assert sessions.main(["extract", "web1", NAME, "out"]) == 0
    assert f"sudoreplay -d out {NAME}" in capsys.readouterr().out
    assert sessions.main(["extract", "web1", NAME, "out"]) == 1
    assert "out: File exists" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["worker"]
