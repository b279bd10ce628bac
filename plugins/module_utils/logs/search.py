# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding records by user, host, time, kind and text, and taking them out as evidence."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import io
import json
import os
import re
import socket
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .index import Index
from .keeper import sha256_of
from .records import DayFile, Line, day_files, day_of, lines, parsed, size_of, stamp
from .rules import stored_forms

CHUNK = 1 << 20


@dataclass(frozen=True)
class Question:
    """What is looked for. What is empty does not matter.

    Attributes:
        start: the first moment, in seconds since 1970.
        end: the moment from which on nothing is wanted.
        user: a login name.
        senders: names of hosts, as in their certificates.
        kinds: kinds of records.
        text: what must stand in the line.
    """

    start: float
    end: float
    user: str = ""
    senders: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    text: str = ""


class Search:
    """Looks through a store.

    Args:
        store: the folder with a folder for each sender.
        state: where indexes are.
        question: what is looked for.
    """

    def __init__(self, store: str, state: str, question: Question) -> None:
        self.store, self.state, self.question = store, state, question
        self._kinds = frozenset(kind.encode() for kind in question.kinds)
        self._texts = stored_forms(question.text) if question.text else ()
        self.without_index: list[str] = []
        """Days that had to be read whole, as they have no index, or one that left users out."""

    def files(self) -> list[DayFile]:
        """The files that may hold what is wanted."""
        first, last = day_of(self.question.start), day_of(self.question.end - 1e-3)
        senders = list(self.question.senders) or None
        return [file for file in day_files(self.store, senders) if first <= file.day <= last]

    def found(self) -> Iterator[bytes]:
        """The lines: day by day, and within a day in the order of their receipt."""
        files = self.files()
        for day in sorted({file.day for file in files}):
            of_day = [file for file in files if file.day == day]
            texts = self._from_index(day) if self.question.user else None
            if texts is None:
                if self.question.user:
                    self.without_index.append(day)
                # Each file is in that order already.
                yield from heapq.merge(*map(self._read, of_day))
            else:
                yield from sorted(set(texts))

    def _from_index(self, day: str) -> list[bytes] | None:
        """The lines about the user; None where there is no index that knows of all users."""
        path = os.path.join(self.state, "index", day + ".sqlite")
        with contextlib.suppress(FileNotFoundError, sqlite3.DatabaseError), Index(path) as index:
            if not index.is_whole():
                return None
            terms = [self.question.user, *("#" + number for number in sorted(self._numbers(index)))]
            file = DayFile("", day, "")
            return [
                text
                for term in terms
                for text in index.lines(term)
                if self._fits(parsed(file, 0, text)) and self._is_from(text)
            ]
        return None

    def _numbers(self, index: Index) -> set[str]:
        return {number for number in index.numbers(self.question.user) if int(number) >= 1000}

    def _is_from(self, text: bytes) -> bool:
        if not self.question.senders:
            return True
        return text.split(b" ", 2)[1].decode("ascii", "replace") in self.question.senders

    def _read(self, file: DayFile) -> Iterator[bytes]:
        """The lines of a file that fit, from the store itself."""
        name = self.question.user.encode()
        user = re.compile(rb"(?<![\w.@-])" + re.escape(name) + rb"(?![\w@-])")
        words = self._texts or ((name,) if name else ())
        with contextlib.suppress(FileNotFoundError):
            for line in lines(file, 0, size_of(file), CHUNK, words):
                if self._fits(line) and (not self.question.user or user.search(line.text)):
                    yield line.text

    def _fits(self, line: Line) -> bool:
        return (
            self.question.start <= line.received < self.question.end
            and (not self._kinds or line.kind in self._kinds)
            and (not self._texts or any(text in line.text for text in self._texts))
        )

    def export(self, case: str, target: str, by: str, digests: str) -> dict[str, object]:
        """Take the lines out as evidence: a tar file with them, where they are from, and their days' signed digests.

        Lines are copied from the store itself, whichever way they were found, so that the signed digest of their day
        speaks for them.

        Args:
            case: the case's number.
            target: the tar file; it must not be there yet.
            by: who takes them out.
            digests: the folder with the days' digests and signatures.

        Returns:
            The manifest, as it stands in the file.

        Raises:
            FileExistsError: the target is there.
        """
        wanted = set(self.found())
        places = {tuple(text.decode("ascii", "replace").split(" ", 2)[:2]) for text in wanted}
        holding = {(moment[:10], sender) for moment, sender in places}
        entries, sources = [], []
        with open(target, "xb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
            os.fchmod(raw.fileno(), 0o600)
            for file in self.files():
                if (file.day, file.sender) not in holding:
                    continue
                texts = self._copied(file, wanted)
                if not texts:
                    continue
                data = b"".join(text + b"\n" for _, text in texts)
                name = "records/%s/%s" % (file.sender, os.path.basename(file.path))
                _add(tar, name, data)
                entries.append({"file": name, "records": len(texts), "sha256": hashlib.sha256(data).hexdigest()})
                form = file.path if os.path.exists(file.path) else file.path + ".gz"
                sources.append(
                    {
                        "file": name,
                        "taken_from": file.name + form[len(file.path) :],
                        "sha256": sha256_of(form),
                        "offsets": [offset for offset, _ in texts],
                    }
                )
            for day in sorted({str(entry["file"])[-14:-4] for entry in entries}):
                for end in (".json", ".json.sig"):
                    with contextlib.suppress(FileNotFoundError), open(os.path.join(digests, day + end), "rb") as file_:
                        _add(tar, "digests/" + day + end, file_.read())
            manifest = {
                "case": case,
                "taken_at": stamp(time.time()),
                "taken_by": by,
                "log_server": socket.gethostname(),
                "question": {
                    **asdict(self.question),
                    "start": stamp(self.question.start),
                    "end": stamp(self.question.end),
                },
                "records": sum(int(str(entry["records"])) for entry in entries),
                "files": entries,
                "sources": sources,
            }
            text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
            _add(tar, "manifest.json", text.encode())
        return dict(json.loads(text))

    def _copied(self, file: DayFile, wanted: set[bytes]) -> list[tuple[int, bytes]]:
        """The wanted lines of a file, with their offsets."""
        with contextlib.suppress(FileNotFoundError):
            return [(line.offset, line.text) for line in lines(file, 0, size_of(file), CHUNK) if line.text in wanted]
        return []


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode, about.mtime = len(data), 0o440, int(time.time())
    tar.addfile(about, io.BytesIO(data))
