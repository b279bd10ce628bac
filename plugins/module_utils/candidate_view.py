# SPDX-License-Identifier: GPL-3.0-or-later
"""Show commands a host's configuration as it would be, at its real paths, without changing the host.

A forked child enters a mount namespace of its own, lays a writable overlay over each directory that is touched, makes
everything else read-only, applies the candidate files there and runs the commands. When the child ends, the kernel
drops the namespace with everything in it: nothing can be left behind, whatever killed it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from .file_state import FileState, FileTransactionError, is_below, read_tree

COMMAND_TIMEOUT = 120  # seconds; pam-auth-update, the slowest known, takes 0.3
COMMAND_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# pam-auth-update and other debconf programs write here what matters to nobody else; the rest is for temporary files.
SCRATCH = ("/tmp", "/var/tmp", "/var/cache/debconf")  # noqa: S108 (overlaid, never written)

# mount(2), unshare(2), prctl(2)
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_OPTION_FLAGS = {
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "relatime": 0x200000,
}
_CLONE_NEWNS = 0x20000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

States = dict[str, Optional[FileState]]  # by real path; None: no such path


@dataclass
class Generator:
    """A command whose effect on some directories becomes part of the transaction.

    :ivar command: program and arguments.
    :ivar writes: directories whose changes are kept.
    :ivar reads: further directories that its result depends on (they decide whether it has to run again).
    :ivar secret: its changes are never shown.
    """

    command: list[str]
    writes: list[str]
    reads: list[str] = field(default_factory=list)
    secret: bool = False


@dataclass
class Preview:
    """What came out of a view.

    :ivar generated: for each generator, the paths that it changed and their new states (None: removed).
    :ivar missing: commands that are not installed, as text.
    """

    generated: list[States] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def preview(
    states: States,
    generators: list[Generator],
    validators: list[list[str]],
    scratch: Iterable[str],
    workspace: str,
    allow_missing: bool,
    show_output: bool,
) -> Preview:
    """Run commands against the configuration as it would be.

    :param states: real path to the candidate's state; None removes the path.
    :param generators: :class:`Generator` objects, run in order after the candidates are applied.
    :param validators: commands (lists of strings), run after the generators; each must exit with status 0.
    :param scratch: directories that commands may write to, with no lasting effect.
    :param workspace: an existing empty directory, writable by root only.
    :param allow_missing: skip a command that is not installed, and say so, instead of failing.
    :param show_output: whether an error may quote the command's output (no, when it could quote a secret).
    :raises FileTransactionError: the view is impossible here, or a command failed.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    outcome: Preview | FileTransactionError
    if pid == 0:
        try:
            os.close(reader)
            _die_with_parent()
            outcome = _run_view(
                states, generators, validators, [*SCRATCH, *scratch], workspace, allow_missing, show_output
            )
        except FileTransactionError as error:
            outcome = error
        except BaseException as error:  # the parent has to hear of it: this process has nowhere to raise to
            outcome = FileTransactionError(f"the candidate view failed: {type(error).__name__}: {error}")
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(outcome, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    if not answer:
        raise FileTransactionError("the process that checks the candidate files was killed; nothing was changed")
    outcome = pickle.loads(answer)  # noqa: S301 (written by our own fork, not by anybody else)
    if isinstance(outcome, FileTransactionError):
        raise outcome
    return outcome


def find_command(command: list[str]) -> str | None:
    """Give the full path of a command's program, or None when it is not installed."""
    return shutil.which(command[0], path=COMMAND_PATH)


def run_command(command: list[str], purpose: str, show_output: bool = True) -> None:
    """Run a command that must succeed.

    :param purpose: what it is run for, as the end of a sentence ("checking /etc/sudoers.d/x").
    :raises FileTransactionError: it exits with another status than 0, or takes too long.
    """
    shown = " ".join(command)
    environment = {
        "PATH": COMMAND_PATH,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    try:
        output, errors = process.communicate(timeout=COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise FileTransactionError(
            f"{shown}: still running after {COMMAND_TIMEOUT} seconds while {purpose}; nothing was changed"
        ) from None
    if process.returncode != 0:
        said = (errors or output).decode("utf-8", "replace").strip()[-4000:]
        if not show_output:
            said = "(its output is withheld: it could quote a secret file)"
        raise FileTransactionError(
            f"{shown}: exit status {process.returncode} while {purpose}; nothing was changed: {said}"
        )


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent goes (prctl(2)): a killed run leaves no command running."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _run_view(
    states: States,
    generators: list[Generator],
    validators: list[list[str]],
    scratch: list[str],
    workspace: str,
    allow_missing: bool,
    show_output: bool,
) -> Preview:
    """The child's part: build the view, run the commands, collect what the generators did."""
    result = Preview()
    scratch = [directory for directory in scratch if os.path.isdir(directory)]
    wanted = [os.path.dirname(path) for path in states] + scratch
    wanted += [directory for generator in generators for directory in generator.writes]
    view = _View(workspace, {os.path.realpath(directory) for directory in scratch})
    view.cover({os.path.realpath(_nearest_existing(directory)) for directory in wanted})
    view.protect_the_rest()
    apply_states(states)
    files = _name_some(sorted(states))

    for generator in generators:
        if find_command(generator.command) is None:
            _missing(generator.command, allow_missing, result)
            result.generated.append({})
            continue
        before = _read_trees(generator.writes)
        run_command(generator.command, f"generating files from the candidates ({files})", show_output)
        after = _read_trees(generator.writes)
        touched = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
        result.generated.append({path: after.get(path) for path in touched})
        view.refuse_undeclared({*states}, [*generator.writes, *scratch, *_all_writes(generators)], generator.command)

    for command in validators:
        if find_command(command) is None:
            _missing(command, allow_missing, result)
            continue
        run_command(command, f"checking the resulting configuration ({files})", show_output)
    return result


def _all_writes(generators: list[Generator]) -> list[str]:
    return [directory for generator in generators for directory in generator.writes]


def _name_some(paths: list[str]) -> str:
    """List paths for a message; a long list is cut."""
    return ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")


def _missing(command: list[str], allow_missing: bool, result: Preview) -> None:
    if not allow_missing:
        raise FileTransactionError(
            f"{command[0]}: not installed on this host (searched {COMMAND_PATH}); install its package before this step"
        )
    result.missing.append(f"{' '.join(command)}: {command[0]} is not installed yet")


def _read_trees(directories: Iterable[str]) -> dict[str, FileState]:
    tree: dict[str, FileState] = {}
    for directory in directories:
        tree.update(read_tree(directory))
    return tree


def _nearest_existing(directory: str) -> str:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def apply_states(states: States) -> None:
    """Make paths what they would be, with plain file operations (inside a view only: this is not atomic)."""
    for path, state in sorted(states.items()):
        if state is None:
            continue
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        if state.kind == "directory":
            os.makedirs(path, exist_ok=True)
        else:
            if os.path.lexists(path):
                os.unlink(path)
            if state.kind == "link":
                os.symlink(os.fsdecode(state.content), path)
            else:
                with open(path, "xb") as stream:
                    stream.write(state.content)
        os.chown(path, state.uid, state.gid, follow_symlinks=False)
        if state.kind != "link":
            os.chmod(path, state.mode)
    for path, state in sorted(states.items(), reverse=True):
        if state is None and os.path.lexists(path):
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            else:
                os.unlink(path)


class _View:
    """The mounts of one candidate view, in a mount namespace that is entered when the object is made."""

    def __init__(self, workspace: str, scratch: set[str]) -> None:
        """Leave the host's namespace and set up the place where the overlays keep what is written.

        :param scratch: directories whose present content no command depends on.
        :raises FileTransactionError: the kernel or a container's confinement does not allow it.
        """
        self.workspace = workspace
        self.scratch = scratch
        self.layers: dict[str, str] = {}  # covered directory -> what was written into it (overlays only)
        self.covered: list[str] = []
        if _libc.unshare(_CLONE_NEWNS) != 0:
            raise self._impossible("unshare", ctypes.get_errno())
        try:
            _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
            _mount("tmpfs", workspace, "tmpfs", 0, "mode=0700")
        except OSError as error:
            raise self._impossible("mount", error.errno) from error

    @staticmethod
    def _impossible(call: str, number: int | None) -> FileTransactionError:
        return FileTransactionError(
            f"generate and validate need a private mount namespace, and this host refuses one ({call}: "
            f"{os.strerror(number or 0)}); allow it (CAP_SYS_ADMIN in a container), or leave generate and validate "
            "out. Nothing was changed"
        )

    def cover(self, directories: Iterable[str]) -> None:
        """Make directories writable without effect on the host; mounts below them stay in sight.

        :param directories: existing directories by their real paths.
        """
        for directory in _outermost(directories):
            if directory == "/":
                raise FileTransactionError(
                    "/: what is directly below it cannot be checked beforehand; create that directory first"
                )
            below = [point for point in _mount_points() if is_below(point, directory) and point != directory]
            tops = [p for p in below if not any(p != other and is_below(p, other) for other in below)]
            held = {point: os.open(point, os.O_PATH) for point in tops}
            self._cover_one(directory)
            for point, fd in held.items():
                _mount(f"/proc/self/fd/{fd}", point, None, _MS_BIND | _MS_REC)
                os.close(fd)
            self.covered.append(directory)

    def _cover_one(self, directory: str) -> None:
        base = os.path.join(self.workspace, str(len(self.covered)))
        upper, work = os.path.join(base, "upper"), os.path.join(base, "work")
        os.makedirs(upper)
        os.makedirs(work)
        lower = os.open(directory, os.O_PATH)  # by descriptor: the option string cannot hold every directory's name
        try:
            options = f"lowerdir=/proc/self/fd/{lower},upperdir={upper},workdir={work}"
            _mount("overlay", directory, "overlay", 0, options)
            self.layers[directory] = upper
        except OSError:
            # No overlay on this file system, or two are stacked already (containers in containers): work on a copy.
            copy = os.path.join(base, "copy")
            os.mkdir(copy)
            shutil.copystat(directory, copy)
            if directory not in self.scratch:
                run_command(["cp", "-ax", f"{directory}/.", copy], f"copying {directory}")
            _mount(copy, directory, None, _MS_BIND)
        finally:
            os.close(lower)

    def protect_the_rest(self) -> None:
        """Make every other mount read-only for this view, so that a command's stray write fails instead of leaking."""
        for point, kind, options in _mounts():
            if point in self.covered or is_below(point, self.workspace) or is_below(point, "/dev") or kind == "autofs":
                continue
            flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY
            for option in options.split(","):
                flags |= _OPTION_FLAGS.get(option, 0)
            try:
                _mount(None, point, None, flags)
            except OSError as error:
                # Hidden below another mount, or a user's private FUSE mount: no command can reach it either.
                if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EACCES):
                    raise

    def refuse_undeclared(self, applied: set[str], declared: list[str], command: list[str]) -> None:
        """Find files that a command wrote where its effect would be lost.

        :param applied: paths of the candidates themselves.
        :param declared: directories where its writes are kept, or known not to matter.
        :raises FileTransactionError: it wrote somewhere else.
        """
        for directory, upper in self.layers.items():
            for folder, _folders, names in os.walk(upper):
                for name in names:
                    path = os.path.join(directory, os.path.relpath(os.path.join(folder, name), upper))
                    if path not in applied and not any(is_below(path, place) for place in declared):
                        raise FileTransactionError(
                            f"{' '.join(command)}: also wrote {path}; name its directory in writes (kept) or scratch "
                            "(thrown away). Nothing was changed"
                        )


def _outermost(directories: Iterable[str]) -> list[str]:
    """Drop directories that another one covers: lying below it with no mount in between."""
    chosen: list[str] = []
    points = _mount_points()
    for directory in sorted(directories):
        covered = any(
            is_below(directory, other)
            and not any(point != other and is_below(point, other) and is_below(directory, point) for point in points)
            for other in chosen
        )
        if not covered:
            chosen.append(directory)
    return chosen


def _mounts() -> list[tuple[str, str, str]]:
    """Read proc(5) mountinfo: (mount point, file system type, options of the mount), in the order of mounting."""
    mounts = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            fields, _, rest = line.partition(" - ")
            point, options = fields.split()[4:6]
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), point)
            mounts.append((point, rest.split()[0], options))
    return mounts


def _mount_points() -> list[str]:
    """Mount points that a program can get at; autofs ones are left out so that nobody triggers them."""
    return [point for point, kind, _options in _mounts() if kind != "autofs"]


def is_mount_point(path: str) -> bool:
    """Tell whether something is mounted exactly at a path (a container's /etc/hosts, say): it cannot be replaced."""
    return any(point == path for point, _kind, _options in _mounts())


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    def encode(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    if _libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(options)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)
