# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports and evidence outlive the controller: a store that rclone(1) reaches, such as S3 or SFTP.

What a run leaves is in a folder of its own, with the SHA-256 of each file in ``SHA256SUMS``, which comes last: a folder
without it is not whole, and is not read. What is whole is never written to again::

    store:kijun/reports/20261121T101500Z-4711/{hosts/*.json,junit.xml,report.html,SHA256SUMS}    an audit
    store:kijun/reports/malware/20261201T050000Z-4802/{malware-2026-11.html,...,SHA256SUMS}      another report

The module imports nothing of Ansible.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

VARIABLE = "KIJUN_REPORT_STORE"
SECONDS = "KIJUN_REPORT_STORE_SECONDS"
CONFIGURATION = "RCLONE_CONFIG"
CLAUSE = "SM-5-1"

SUMS = "SHA256SUMS"
RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[0-9]+){0,2}")
"""The name of an audit's run: its time, the number of AWX's job, and a number where there was one of that name."""

PLACE = re.compile(r"(?P<remote>[A-Za-z0-9_][A-Za-z0-9_.-]*):(?P<path>[^\x00-\x1f\x7f]+)")
DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 300, 5, 7200

# Nothing that was set for another use of rclone decides what a copy is here, or has it tell what it sends.
PASSED = re.compile(r"PATH|HOME|SSH_AUTH_SOCK|RCLONE_(CONFIG|S3_|SFTP_|CA_CERT|BWLIMIT).*|(?i:https?_proxy|no_proxy)")
FIXED = {
    "LC_ALL": "C.UTF-8",
    # Everything is read back, so that hosts need no shell for sums; and rclone does not write what it found out about
    # the host's shell into its configuration.
    "RCLONE_SFTP_DISABLE_HASHCHECK": "true",
    "RCLONE_SFTP_SHELL_TYPE": "none",
    "RCLONE_SFTP_MD5SUM_COMMAND": "none",
    "RCLONE_SFTP_SHA1SUM_COMMAND": "none",
}
OPTIONS = (
    "--log-level=ERROR",
    "--ask-password=false",
    "--contimeout=15s",
    "--timeout=60s",
    "--retries=2",
    "--retries-sleep=1s",
    "--low-level-retries=3",
)
SECRET = re.compile(r"pass|secret|key|token|auth|credential|sas", re.IGNORECASE)
"""Options of a remote whose values are shown to nobody."""

NOTHING_THERE = 3
"""rclone's exit status where the folder that is listed does not exist."""


class StoreError(Exception):
    """The store is not what it must be, cannot be reached, or has something else than it should; says which."""


@dataclass(frozen=True)
class Store:
    """A store, for the time that one run may spend on it.

    Attributes:
        remote: what rclone calls its folder, such as ``store:kijun/reports``.
        environment: what rclone is run with.
        secrets: what no message may hold.
        seconds: how long all calls together may take.
        used: seconds that they took; a list of one, since it grows.
    """

    remote: str
    environment: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    seconds: int
    used: list[float] = field(default_factory=lambda: [0.0])

    def at(self, path: str) -> str:
        """What rclone calls a folder or file in the store."""
        return f"{self.remote}/{path}"

    def runs(self) -> list[str]:
        """The names of the audits that are there, oldest first; not all of them need be whole.

        Raises:
            StoreError: it cannot be read.
        """
        listed = self._rclone("lsf", "--dirs-only", self.remote).splitlines()
        return sorted(name for line in listed if RUN.fullmatch(name := line.rstrip("/")))

    def keep(self, files: Mapping[str, Path]) -> list[str]:
        """Copy files to the store, and read them back.

        Args:
            files: path in the store -> file. The folder of a run, with its sums, is the first one of the path whose
                name begins with a time.

        Returns:
            Where they are: the folders, as rclone calls them.

        Raises:
            StoreError: not all of them are there, unchanged; or such a folder was there already, and was left alone.
        """
        folders = sorted({_folder(path) for path in files})
        sums = ["--include=" + _pattern(f"{folder}/{SUMS}") for folder in folders]
        there = self._rclone("lsf", "--recursive", "--files-only", *sums, self.remote).split("\n")
        if any(there):
            name = str(PurePosixPath(there[0]).parent)
            raise StoreError(f"{self.at(name)} is there already; what is kept is never overwritten")
        with tempfile.TemporaryDirectory(prefix="kijun-store-") as made:
            data, last = Path(made, "data"), Path(made, "last")
            lines: dict[str, list[str]] = {folder: [] for folder in folders}
            for path, file in sorted(files.items()):
                folder = _folder(path)
                lines[folder].append(f"{_digest(file)}  {PurePosixPath(path).relative_to(folder)}\n")
                (data / path).parent.mkdir(parents=True, exist_ok=True)
                (data / path).symlink_to(file.absolute())
            for folder in folders:
                (last / folder).mkdir(parents=True)
                (last / folder / SUMS).write_text("".join(lines[folder]), encoding="utf-8")
            self._rclone("copy", "--immutable", "--copy-links", str(data), self.remote)
            self._rclone("check", "--one-way", "--download", "--copy-links", str(data), self.remote)
            self._rclone("copy", "--immutable", str(last), self.remote)
        return [self.at(folder) for folder in folders]

    def fetch(self, names: Iterable[str], directory: Path) -> list[Path]:
        """Fetch audits, each whole or not at all.

        Args:
            names: of runs.
            directory: where they are put; it is there, and has none of these.

        Returns:
            Their directories, in the order of the names.

        Raises:
            StoreError: one of them is not there, or is not what was copied.
        """
        wanted = list(names)
        if not wanted:
            return []
        self._fetch([_pattern(name) + "/**" for name in wanted], directory)
        for name in wanted:
            folder = directory / name
            told = self._sums(folder)
            found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
            if found != told.keys():
                odd = ", ".join(sorted(found ^ told.keys())[:3])
                raise StoreError(f"{self.at(name)} has not the files that its {SUMS} names: {odd}")
            self._hold(folder, told, told)
        return [directory / name for name in wanted]

    def fetch_records(self, files: Iterable[str], since: datetime.date, directory: Path) -> None:
        """Fetch the evidence of some hosts out of all audits since a day.

        Args:
            files: names of the hosts' files in runs.
            since: the day, UTC.
            directory: where the runs are put, with those files alone.

        Raises:
            StoreError: one of them is not what was copied.
        """
        names = [name for name in self.runs() if name[:8] >= since.strftime("%Y%m%d")]
        wanted = [f"hosts/{file}" for file in files]
        if not names or not wanted:
            return
        self._fetch([_pattern(f"{name}/{path}") for name in names for path in (*wanted, SUMS)], directory)
        for name in names:
            folder = directory / name
            # One that is being copied just now has none.
            if (folder / SUMS).is_file():
                self._hold(folder, self._sums(folder), (path for path in wanted if (folder / path).is_file()))
            elif folder.is_dir():
                shutil.rmtree(folder)

    # ---- rclone ----

    def _fetch(self, patterns: Sequence[str], directory: Path) -> None:
        with tempfile.NamedTemporaryFile("w", prefix="kijun-store-", encoding="utf-8") as file:
            file.write("".join(f"{pattern}\n" for pattern in patterns))
            file.flush()
            self._rclone("copy", f"--include-from={file.name}", self.remote, str(directory))

    def _sums(self, folder: Path) -> dict[str, str]:
        """Read and remove a folder's sums: file -> SHA-256."""
        try:
            lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise StoreError(f"{self.at(folder.name)} is not whole: it has no {SUMS}") from None
        (folder / SUMS).unlink()
        pairs = (line.partition("  ") for line in lines)
        return {name: digest for digest, _, name in pairs}

    def _hold(self, folder: Path, told: Mapping[str, str], files: Iterable[str]) -> None:
        """Hold files against their sums."""
        for name in files:
            if _digest(folder / name) != told.get(name):
                raise StoreError(f"{self.at(folder.name)}/{name} is not what was copied there: its SHA-256 is another")

    def _rclone(self, verb: str, *words: str) -> str:
        """Run rclone and return what it prints.

        Raises:
            StoreError: it fails, or the time is over.
        """
        left = self.seconds - self.used[0]
        began = time.monotonic()
        late = f"{self.remote} did not answer within {self.seconds} s ({SECONDS})"
        if left <= 0:
            raise StoreError(late)
        try:
            done = _run(self.environment, left, verb, *words)
        except subprocess.TimeoutExpired:
            raise StoreError(late) from None
        finally:
            self.used[0] += time.monotonic() - began
        if done.returncode and not (verb == "lsf" and done.returncode == NOTHING_THERE):
            raise StoreError(f"rclone {verb} {self.remote}: {_hidden(_said(done), self.secrets)}")
        return done.stdout


def is_place(value: str) -> bool:
    """Whether a text names a folder of a remote, and nothing else that rclone would take."""
    place = PLACE.fullmatch(value)
    parts = place["path"].strip("/").split("/") if place else []
    return any(parts) and not {".", ".."} & set(parts)


def configured(environment: Mapping[str, str]) -> Store | None:
    """The store that a run's environment names.

    Args:
        environment: as `os.environ`.

    Returns:
        It, or None where none is named.

    Raises:
        StoreError: it is none that can be used; names the variable, its value and what it must be.
    """
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    if not is_place(value):
        # What looks like rclone's connection strings may hold a secret.
        shown = repr(value) if not re.search(r"[,=]", value) else "a text with options"
        raise StoreError(
            f"{VARIABLE} is {shown}; it must be REMOTE:PATH, such as store:kijun/reports (clause {CLAUSE})"
        )
    seconds = environment.get(SECONDS) or str(DEFAULT_SECONDS)
    if not (seconds.isascii() and seconds.isdigit() and LEAST_SECONDS <= int(seconds) <= MOST_SECONDS):
        raise StoreError(
            f"{SECONDS} is {seconds!r}; it must be a whole number from {LEAST_SECONDS} to {MOST_SECONDS}"
            f" (clause {CLAUSE})"
        )
    if shutil.which("rclone", path=environment.get("PATH")) is None:
        raise StoreError(f"{VARIABLE} is {value!r}, and there is no rclone here: install Debian's package rclone")
    passed = {name: text for name, text in environment.items() if PASSED.fullmatch(name)} | FIXED
    options = _options(value, value.partition(":")[0], passed)
    secrets = [text for name, text in options.items() if SECRET.search(name) and len(text) > 3]
    return Store(value.rstrip("/"), passed, secrets, int(seconds))


def _options(value: str, remote: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What is configured of a remote: option -> value, both by the file and by the environment.

    Raises:
        StoreError: there is no such remote, or it is one whose other end could be anybody.
    """
    try:
        done = _run(environment, 30, "config", "dump")
        remotes = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        remotes = None
    file = environment.get(CONFIGURATION) or "rclone's own configuration"
    if not isinstance(remotes, dict):
        raise StoreError(f"{VARIABLE} is {value!r}, and rclone cannot read {CONFIGURATION} ({file})")
    own = f"RCLONE_CONFIG_{re.sub('[^A-Za-z0-9_]', '_', remote).upper()}_"
    options = {name: str(text) for name, text in remotes.get(remote, {}).items()}
    options |= {name.removeprefix(own).lower(): text for name, text in environment.items() if name.startswith(own)}
    kind = options.get("type", "")
    if not kind:
        known = ", ".join(sorted(remotes)) or "none"
        raise StoreError(
            f"{VARIABLE} is {value!r}; its remote must be one of those in {CONFIGURATION} ({file}), which are: {known}"
            f" (clause {CLAUSE})"
        )
    told = environment.get("RCLONE_SFTP_KNOWN_HOSTS_FILE") or options.get("known_hosts_file", "")
    if kind == "sftp" and not _has_content(told):
        raise StoreError(
            f"the remote {remote!r} of {VARIABLE} is SFTP, its known_hosts_file is {told!r}, so that anybody could be"
            f" its host; it must be a file that has the host's key (clause {CLAUSE})"
        )
    if options.get("endpoint", "").startswith("http:"):
        raise StoreError(
            f"the endpoint of the remote {remote!r} of {VARIABLE} is {options['endpoint']!r}; it must begin with"
            f" https:// (clause {CLAUSE})"
        )
    return options


def _has_content(name: str) -> bool:
    try:
        return bool(name) and Path(name).expanduser().read_bytes().strip() != b""
    except OSError:
        return False


def _run(environment: Mapping[str, str], seconds: float, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["rclone", *OPTIONS, *words],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=seconds,
        # What is fetched tells where hosts are weak.
        umask=0o077,
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What rclone says of its failure, in one line, without its clock."""
    lines = [re.sub(r"^[0-9/]+ [0-9:]+ ", "", line).strip() for line in done.stderr.splitlines()]
    told = list(dict.fromkeys(line for line in lines if line))
    return " ".join(told[-3:])[-500:] or f"exit status {done.returncode}"


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _folder(path: str) -> str:
    """The run's folder that a path in the store is in: that which begins with a time."""
    parts = PurePosixPath(path).parts[:-1]
    for place, name in enumerate(parts):
        if re.match(r"[0-9]{8}T[0-9]{6}Z", name):
            return "/".join(parts[: place + 1])
    raise ValueError(f"{path} is in no folder of a run")


def _pattern(path: str) -> str:
    """A path as a pattern of rclone's filters, from the top."""
    return "/" + re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with suppress(FileNotFoundError), file.open("rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def name_in_store(file: Path, run: str, directory: Path) -> str:
    """The path in the store of a file that is no part of an audit.

    Args:
        file: it.
        run: the name of the run that left it.
        directory: where reports are kept here; its folders are the store's too.
    """
    whole = Path(os.path.abspath(file))
    for base in (directory, Path()):
        with suppress(ValueError):
            first, *rest = whole.relative_to(os.path.abspath(base)).parts
            if rest:
                return "/".join([first, run, *rest])
    return "/".join([whole.parent.name or "files", run, whole.name])
