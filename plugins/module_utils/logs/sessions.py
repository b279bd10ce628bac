# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sessions of sudo, put together again from the records that senders sent of them.

A sender's record of kind ``session`` holds a part of a session: its name there, the SHA-256 and the bytes of the whole,
the part's number, and the part itself in base64 (RFC 4648, section 5). The whole is a line of JSON that names files
with their sizes, and then what they hold. What a part says is the sender's word, and a sender may be hostile: nothing
here is taken for granted but the sender's name. A part that comes twice is one part; of two that differ, the first
counts, so that who takes a host over later cannot spoil what it sent before.

Runs as whoever may read the records. Standard library, Python 3.9.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import glob
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .blocks import Stored

STORE = "/var/log/kijun/hosts"
SENDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+$-]*(?:/[0-9A-Z]{2}){3}")
"""Person, and the number that sudo gave: a path that leads nowhere else."""

FILES = ("log", "timing", "ttyout", "ttyin", "stdout", "stderr", "stdin")
"""What sudo records, as sudoreplay(8) knows it."""

PART = 192 * 1024
"""Bytes of a part at most."""

LARGEST = 64 * 1024 * 1024 + 4096
"""Bytes of a session at most: its files, and the line that names them."""

LONGEST = 512 * 1024
"""Bytes of a line at most: a part as text, and the record around it."""

CHUNK = 1024 * 1024
UNSEEN = re.compile(r"[^ -~\u00a1-\u00ac\u00ae-\u1fff\u3001-\ud7ff\uff01-\uffdc]")


class Unfit(Exception):
    """A session that cannot be had, and why."""


class Place(NamedTuple):
    """Where a part is.

    Attributes:
        path: the day's file, as it is called while it is plain.
        offset: where its line begins there.
        length: bytes of the line.
    """

    path: str
    offset: int
    length: int


@dataclass
class Session:
    """A session of which at least one part came.

    Attributes:
        name: what it is called at its sender: USER/00/00/1A.
        sha256: of the whole.
        size: bytes of the whole.
        parts: how many make the whole.
        received: when the first of them came, as the log server says.
        places: where they are, by number.
    """

    name: str
    sha256: str
    size: int
    parts: int
    received: str
    places: dict[int, Place] = field(default_factory=dict)

    def missing(self) -> list[int]:
        """Numbers of the parts that did not come."""
        return [number for number in range(1, self.parts + 1) if number not in self.places]


def sessions(sender: str, store: str = STORE) -> list[Session]:
    """Every session of a sender, in the order of their coming.

    Args:
        sender: its name, as its certificate says.
        store: the folder with a folder for each sender.

    Raises:
        Unfit: there is no such sender, or a day's file is damaged.
    """
    if not SENDER.fullmatch(sender) or not os.path.isdir(os.path.join(store, sender)):
        raise Unfit("there is no sender %s" % shown(sender))
    found: dict[tuple[str, str], Session] = {}
    paths = glob.glob(os.path.join(glob.escape(os.path.join(store, sender)), "????-??-??.session.log*"))
    for path in sorted({path[:-3] if path.endswith(".gz") else path for path in paths}):
        if not path.endswith(".log"):
            continue
        for place, line in _lines(path):
            said = part_of(line)
            if said is None:
                continue
            key = (said["session"], said["sha256"])
            received = line.split(b" ", 1)[0].decode("ascii", "replace")
            session = found.setdefault(key, Session(*key, said["bytes"], said["parts"], received))
            if (session.size, session.parts) == (said["bytes"], said["parts"]):
                session.places.setdefault(said["part"], place)
    return list(found.values())


def _lines(path: str) -> Iterator[tuple[Place, bytes]]:
    """A day's lines, with where they are."""
    try:
        with Stored(path) as stored:
            for offset, chunk in stored.chunks(0, stored.size, CHUNK):
                begin = 0
                while begin < len(chunk):
                    end = chunk.find(b"\n", begin) + 1 or len(chunk)
                    if end - begin <= LONGEST:
                        yield Place(path, offset + begin, end - begin), chunk[begin:end]
                    begin = end
    except (OSError, ValueError) as error:
        raise Unfit("%s cannot be read: %s" % (path, error)) from None


def part_of(line: bytes) -> dict[str, Any] | None:
    """What a line says of a part of a session; None when it is no such line, or not a possible one."""
    try:
        record = json.loads(line.split(b" ", 2)[2])
        if record["kind"] != "session" or not isinstance(record["msg"], str):
            return None
        said = json.loads(record["msg"])
        numbers = [said[name] for name in ("bytes", "part", "parts")]
        texts = [said[name] for name in ("session", "sha256", "data")]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    fits = (
        all(type(number) is int for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and 0 < said["bytes"] <= LARGEST
        and said["parts"] == -(-said["bytes"] // PART)
        and 1 <= said["part"] <= said["parts"]
        and SESSION.fullmatch(said["session"])
        and re.fullmatch("[0-9a-f]{64}", said["sha256"])
    )
    return said if fits else None


def data_of(place: Place) -> bytes:
    """The part that is at a place.

    Raises:
        Unfit: it is none any more, or not in base64.
    """
    try:
        with Stored(place.path) as stored:
            said = part_of(stored.read(place.offset, place.length))
    except (OSError, ValueError) as error:
        raise Unfit("%s cannot be read: %s" % (place.path, error)) from None
    if said is None:
        raise Unfit("%s has changed meanwhile" % place.path)
    try:
        return base64.b64decode(said["data"].encode("ascii"), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("part %d is no base64" % said["part"]) from None


def whole(session: Session) -> dict[str, bytes]:
    """A session's files.

    Raises:
        Unfit: a part is missing, or what the parts make is not what was sent.
    """
    missing = session.missing()
    if missing:
        numbers = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise Unfit("part %s of %d is missing" % (numbers, session.parts))
    data = bytearray()
    for number in range(1, session.parts + 1):
        data += data_of(session.places[number])
        if len(data) > session.size:
            break
    if len(data) != session.size or hashlib.sha256(data).hexdigest() != session.sha256:
        raise Unfit("its parts are not what was sent: the SHA-256 differs")
    files, left = head_of(bytes(data[: data.find(b"\n") + 1][:4096]))
    offset = len(data) - sum(files.values())
    if offset != data.find(b"\n") + 1:
        raise Unfit("its files are not as large as it says")
    found = {}
    for name, size in files.items():
        found[name] = bytes(data[offset : offset + size])
        offset += size
    if left:
        print("its last %d bytes were left out: it was too large" % left, file=sys.stderr)
    return found


def head_of(line: bytes) -> tuple[dict[str, int], int]:
    """What the first line of a session says: files with their sizes, and the bytes that were left out.

    Raises:
        Unfit: it is not such a line.
    """
    try:
        head = json.loads(line)
        files = dict(head["files"])
        cut = head["cut"]
        good = all(name in FILES and type(size) is int and 0 <= size <= LARGEST for name, size in files.items())
        if not good or len(files) != len(head["files"]) or type(cut) is not int or cut < 0:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unfit("it does not begin with the names of its files") from None
    return files, cut


def extract(session: Session, folder: str) -> str:
    """Write a session as sudo had written it.

    Args:
        session: which.
        folder: a folder that is not there yet; only its owner can read what is made.

    Returns:
        The folder of the session, as ``sudoreplay -d FOLDER`` finds it.

    Raises:
        Unfit: it is not whole, or the folder cannot be made.
    """
    files = whole(session)
    try:
        # Made here, so that nothing leads elsewhere from within it.
        os.mkdir(folder, 0o700)
        path = folder
        for name in session.name.split("/"):
            path = os.path.join(path, name)
            os.mkdir(path, 0o700)
        for name, data in files.items():
            file = os.open(os.path.join(path, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(data)
                # As sudo leaves a session that is over.
                os.fchmod(out.fileno(), 0o400 if name == "timing" else 0o600)
    except OSError as error:
        raise Unfit("%s: %s" % (error.filename or folder, error.strerror)) from None
    return path


def told(session: Session) -> str:
    """Whose session it was and what was run, as its first part says; a dash where that is not to be had."""
    try:
        data = data_of(session.places[1])
        files, _ = head_of(data[: data.find(b"\n") + 1][:4096])
        begin = data.find(b"\n") + 1
        text = data[begin : begin + files["log"]].decode("utf-8", "replace")
        # Time, who, as whom, of which group, at which terminal; the folder; the command.
        first, _, command = text.split("\n")[:3]
        words = first.split(":")
        return shown("%s at %s: %s" % (words[2], words[4], command))
    except (Unfit, KeyError, IndexError, ValueError):
        return "-"


def shown(text: str) -> str:
    """A text that can do nothing to a terminal."""
    return UNSEEN.sub(lambda found: "\\u%04x" % ord(found[0]), text)[:200]


def chosen(found: list[Session], wanted: str) -> Session:
    """The session of a name, or of a name and the beginning of its hash: USER/00/00/1A@9f84.

    Raises:
        Unfit: there is none, or more than one.
    """
    name, _, digits = wanted.rpartition("@") if re.search("@[0-9a-f]*$", wanted) else (wanted, "", "")
    fitting = [session for session in found if session.name == name and session.sha256.startswith(digits)]
    if not fitting:
        raise Unfit("there is no session %s" % shown(wanted))
    if len(fitting) > 1:
        names = ", ".join("%s@%s" % (session.name, session.sha256[:12]) for session in fitting)
        raise Unfit("more than one session is called so: %s" % names)
    return fitting[0]


def main(arguments: list[str] | None = None) -> int:
    """The command ``kijun-log-sessions``.

    Returns:
        0; 1 when what was asked for is not to be had.
    """
    parser = argparse.ArgumentParser(prog="kijun-log-sessions", description="Sessions of sudo that hosts have sent.")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="the sessions of a sender, a line each")
    extracting = actions.add_parser("extract", help="write a session to a folder, for sudoreplay -d")
    for action in (listing, extracting):
        action.add_argument("sender", help="the host, by the name in its certificate")
    extracting.add_argument("session", help="USER/00/00/1A, or USER/00/00/1A@ with the first digits of its hash")
    extracting.add_argument("folder", help="a folder that is not there yet")
    given = parser.parse_args(arguments)
    try:
        found = sessions(given.sender)
        if given.action == "extract":
            session = chosen(found, given.session)
            path = extract(session, given.folder)
            print("%s; sudoreplay -d %s %s" % (path, given.folder, session.name))
            return 0
        for session in found:
            missing = session.missing()
            state = "%d of %d parts missing" % (len(missing), session.parts) if missing else "whole"
            words = (session.received, session.name, session.sha256[:12], "%d bytes" % session.size, state)
            print("  ".join((*map(shown, words), told(session))))
    except Unfit as why:
        print("kijun-log-sessions: %s" % why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
