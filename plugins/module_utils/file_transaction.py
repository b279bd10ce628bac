# SPDX-License-Identifier: GPL-3.0-or-later
"""Put many configuration files in place together, or none of them.

Three stages, of which only the last one changes the host:

1. *plan*: read what is there, compare it with what is wanted, refuse what cannot work;
2. *check*: the owners' own validators see the candidates (:mod:`candidate_view`), and generators work on them;
3. *commit*: :mod:`file_commit` puts everything in place.

See docs/decisions/0002-file-transactions.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .candidate_view import Generator, find_command, is_mount_point, preview, run_command
from .file_commit import Change, FileStore, write_json
from .file_request import UNKNOWN_ID, Wanted, checked_path, parse_files, target_state
from .file_state import (
    FileState,
    FileTransactionError,
    check_replaceable,
    open_directory,
    read_state,
    read_tree,
    real_path,
    write_entry,
)

LOCK_PATIENCE = 300  # seconds that one step waits for another one on the same host


@dataclass
class Outcome:
    """What a step did, or in check mode would do."""

    changes: list[Change] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unvalidated: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    generation: int | None = None
    backups: dict[str, str] = field(default_factory=dict)


class FileTransaction:
    """The transactional file step of one host."""

    def __init__(self, state_dir: str = "/var/lib/kijun/config_files", run_dir: str = "/run/kijun") -> None:
        """Name the step's own directories; both are created with mode 0700 when they are needed.

        :param state_dir: where generations and the journal are kept.
        :param run_dir: where the lock and short-lived candidates are kept.
        """
        self.store = FileStore(state_dir)
        self.run_dir = run_dir
        self.fingerprints_path = os.path.join(state_dir, "generated.json")
        self._leftover: dict[str, FileState | None] = {}  # check mode: what finishing a killed run would leave

    # --- the step -------------------------------------------------------------------------------------

    def run(
        self,
        files: list[dict[str, Any]],
        generators: list[Generator],
        validators: list[list[str]],
        scratch: list[str],
        keep_generations: int,
        check: bool,
        before_commit: Callable[[list[str]], None] | None = None,
    ) -> Outcome:
        """Carry the whole step out.

        :param files: dictionaries as :func:`parse_files` takes them.
        :param generators: :class:`Generator` objects.
        :param validators: commands as lists of strings.
        :param scratch: further directories that commands may write to without effect.
        :param keep_generations: how many earlier states are kept, at least 1.
        :param check: find everything out, change nothing.
        :param before_commit: called with the real paths that are about to change, when there are some.
        :raises FileTransactionError: the host's files are as they were before.
        """
        outcome = Outcome()
        wanted = parse_files(files, check, outcome.unvalidated)
        for generator in generators:
            generator.writes = [real_path(checked_path(path)) for path in generator.writes]
            generator.reads = [real_path(checked_path(path)) for path in generator.reads]
        with self._lock():
            if check:
                self._leftover, outcome.recovered = self.store.preview_recovery()
            else:
                outcome.recovered = self.store.recover()[1]
            outcome.changes, outcome.unchanged = self._plan(wanted)
            self._validate_alone(wanted, outcome, check)
            due = [one for one in generators if outcome.changes or self._fingerprint(one) != self._recorded(one)]
            if due or (outcome.changes and validators):
                self._check_in_view(wanted, outcome, due, validators, scratch, check)
            outcome.changes.sort(key=lambda change: change.path)
            if check:
                return outcome
            if outcome.changes:
                if before_commit:
                    before_commit([change.real for change in outcome.changes])
                outcome.generation, outcome.backups = self.store.commit(outcome.changes, keep_generations)
            if due:
                self._record(due)
        return outcome

    def _plan(self, wanted: list[Wanted]) -> tuple[list[Change], list[str]]:
        """Compare what is wanted with what is there."""
        changes: list[Change] = []
        unchanged: list[str] = []
        for item in wanted:
            before = self._current(item.real)
            after = target_state(item, before)
            if before == after:
                unchanged.append(item.path)
            else:
                changes.append(Change(item.path, item.real, before, after, item.secret))
                _refuse_impossible(changes[-1])
        return changes, unchanged

    def _current(self, real: str) -> FileState | None:
        return self._leftover[real] if real in self._leftover else read_state(real)

    def _validate_alone(self, wanted: list[Wanted], outcome: Outcome, check: bool) -> None:
        """Give each changed file that has a validator of its own to it, before anything is put in place."""
        changed = {change.path: change.after for change in outcome.changes}
        folder = os.path.join(self.run_dir, "candidate")
        try:
            for number, item in enumerate(wanted):
                candidate_state = changed.get(item.path)
                if item.validate is None or candidate_state is None:
                    continue
                command = shlex.split(item.validate)
                if find_command(command) is None:
                    if not check:
                        raise FileTransactionError(f"{item.path}: validate: {command[0]} is not installed on this host")
                    outcome.unvalidated.append(f"{item.path}: {command[0]} is not installed yet")
                    continue
                place = os.path.join(folder, str(number))
                os.makedirs(place, mode=0o700)
                with open_directory(place) as dir_fd:
                    write_entry(dir_fd, os.path.basename(item.path), _with_known_ids(candidate_state))
                candidate = os.path.join(place, os.path.basename(item.path))
                run_command(
                    [word.replace("%s", candidate) for word in command],
                    f"checking the candidate for {item.path}",
                    show_output=not item.secret,
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _check_in_view(
        self,
        wanted: list[Wanted],
        outcome: Outcome,
        due: list[Generator],
        validators: list[list[str]],
        scratch: list[str],
        check: bool,
    ) -> None:
        """Run generators and validators in the candidate view and take over what the generators changed."""
        workspace = os.path.join(self.run_dir, "view")
        os.makedirs(workspace, mode=0o700, exist_ok=True)
        states = dict(self._leftover)
        states.update({change.real: change.after and _with_known_ids(change.after) for change in outcome.changes})
        secret = any(change.secret for change in outcome.changes) or any(one.secret for one in due)
        result = preview(states, due, validators, scratch, workspace, allow_missing=check, show_output=not secret)
        outcome.unvalidated += result.missing
        named = {item.real for item in wanted}
        generated: dict[str, Change] = {}
        for generator, touched in zip(due, result.generated):
            for path, after in touched.items():
                if path in named:
                    raise FileTransactionError(
                        f"{' '.join(generator.command)}: changed {path}, which the task also lists in files; "
                        "one of the two has to let go of it. Nothing was changed"
                    )
                generated[path] = Change(path, path, self._current(path), after, generator.secret)
        for change in generated.values():
            if change.before != change.after:
                _refuse_impossible(change)
                outcome.changes.append(change)

    # --- generators that need not run again -----------------------------------------------------------

    @staticmethod
    def _fingerprint(generator: Generator) -> str:
        """Sum up everything that a generator's result depends on: its command, and the files it reads and writes."""
        digest = hashlib.sha256(json.dumps([generator.command, generator.writes, generator.reads]).encode())
        for root in sorted({*generator.writes, *generator.reads}):
            for path, state in sorted(read_tree(root).items()):
                digest.update(json.dumps([path, state.describe()], sort_keys=True).encode())
        return digest.hexdigest()

    def _fingerprints(self) -> dict[str, str]:
        try:
            with open(self.fingerprints_path, encoding="utf-8") as stream:
                prints: dict[str, str] = json.load(stream)
                return prints
        except (FileNotFoundError, ValueError):  # without it, generators run once more: slower, never wrong
            return {}

    def _recorded(self, generator: Generator) -> str | None:
        return self._fingerprints().get(" ".join(generator.command))

    def _record(self, generators: list[Generator]) -> None:
        prints = self._fingerprints()
        prints.update({" ".join(one.command): self._fingerprint(one) for one in generators})
        self.store.make()
        write_json(self.fingerprints_path, prints)

    # --- one step at a time on a host -----------------------------------------------------------------

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the host-wide lock; the committing child inherits it, so it outlives a killed module as needed."""
        try:
            os.makedirs(self.run_dir, mode=0o700, exist_ok=True)
            lock = os.open(
                os.path.join(self.run_dir, "config_files.lock"),
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
        except OSError as error:
            raise FileTransactionError(
                f"{self.run_dir}: {error.strerror}; the lock of this step is kept there"
            ) from error
        try:
            deadline = time.monotonic() + LOCK_PATIENCE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise FileTransactionError(
                            f"another config_files step has held the lock of this host for {LOCK_PATIENCE} seconds"
                        ) from None
                    time.sleep(0.05)
            shutil.rmtree(os.path.join(self.run_dir, "candidate"), ignore_errors=True)  # left by a killed run
            yield
        finally:
            os.close(lock)


def _refuse_impossible(change: Change) -> None:
    """Find out before anything is written that a path cannot be replaced."""
    check_replaceable(change.real)
    if change.before is not None and change.before.kind != "directory" and is_mount_point(change.real):
        raise FileTransactionError(f"{change.path}: something is mounted exactly there; it cannot be replaced")
    if change.before and change.after and change.before.kind != change.after.kind:
        raise FileTransactionError(f"{change.path}: is a {change.before.kind} and would become a {change.after.kind}")


def _with_known_ids(state: FileState) -> FileState:
    """Stand in root for an owner or group that does not exist yet (check mode only)."""
    if UNKNOWN_ID not in (state.uid, state.gid):
        return state
    return FileState(state.kind, state.content, max(state.uid, 0), max(state.gid, 0), state.mode)
