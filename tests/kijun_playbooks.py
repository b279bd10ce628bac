# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook, started from a process that has loaded Ansible already.

To load it is two fifths of what a short run costs a processor, and the suite has thousands of short runs. What runs is
ansible-playbook's own main(), in a process of its own, with its caller's command line and environment. Whoever wants to
kill a run, or to see it in the list of processes, starts the program itself.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

LATER = ("CONTROLLER_", "KIJUN_", "PYTEST_")
"""Beginnings of the variables that nothing of Ansible reads while it is loaded; of all others a process keeps what it
was started with."""

LOADED = (
    "ansible.cli.playbook",
    "ansible.executor.module_common",
    "ansible.executor.process.worker",
    "ansible.executor.task_queue_manager",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.ssh",
    "ansible.plugins.filter.core",
    "ansible.plugins.filter.mathstuff",
    "ansible.plugins.inventory.script",
    "ansible.plugins.inventory.yaml",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.test.core",
)
"""What a run loads of Ansible in any case. The project's own plugins are loaded by each run."""


def run(words: Sequence[str], environment: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook in the checkout and wait for its end; it may fail. Its input is empty.

    Args:
        words: its command line, without its name.
        environment: all of its environment.
        timeout: seconds that it may take.

    Returns:
        Its exit status, negative when a signal ended it, and what it printed.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    kept = tuple(sorted(item for item in environment.items() if not item[0].startswith(LATER)))
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as error,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(_server(kept).address)
        descriptors = array.array("i", [out.fileno(), error.fileno()])
        connection.sendmsg([b"?"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        connection.sendall(json.dumps({"words": list(words), "environment": dict(environment)}).encode() + b"\n")
        answers = connection.makefile("r", encoding="ascii")
        pid = int(answers.readline())
        connection.settimeout(timeout)
        try:
            status = int(answers.readline())
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["ansible-playbook", *words], timeout, _text(out), _text(error)) from None
        return subprocess.CompletedProcess(["ansible-playbook", *words], status, _text(out), _text(error))


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


@functools.lru_cache(maxsize=8)
def _server(environment: tuple[tuple[str, str], ...]) -> _Server:
    """The process that has loaded Ansible in that environment."""
    return _Server(dict(environment))


class _Server:
    """A process that has loaded Ansible. It ends with this one, or when eight others were asked for since.

    Args:
        environment: what it is started with.

    Attributes:
        address: where it is asked for runs.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        folder = tempfile.TemporaryDirectory(prefix="kijun-playbooks-")
        self.address = str(Path(folder.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(16)
            process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
        weakref.finalize(self, _end, process, folder)


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    """End a server: it ends with its input. A run that it has begun comes to its end."""
    process.communicate()
    folder.cleanup()


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each run that is asked for.

    Returns:
        In that process what it shall run; in this one None, when whoever started it has ended.
    """
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    while True:
        ready = select.select([listener, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            _reap()
            return None
        connection = listener.accept()[0]
        # One in between waits for each run, for this one has others to start.
        if os.fork():
            connection.close()
            _reap()
            continue
        asked = _read(connection)
        worker = os.fork()
        if not worker:
            connection.close()
            listener.close()
            return asked
        connection.sendall(b"%d\n" % worker)
        status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        # Whoever asked may have ended.
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(b"%d\n" % status)
        os._exit(0)


def _reap() -> None:
    """Take note of those who have ended: what they took of the processor counts as this one's, then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _read(connection: socket.socket) -> dict[str, Any]:
    """What is asked for, with the descriptors that a run prints to."""
    descriptors = array.array("i")
    _byte, extra, _flags, _address = connection.recvmsg(1, socket.CMSG_SPACE(2 * descriptors.itemsize))
    descriptors.frombytes(extra[0][2])
    asked: dict[str, Any] = json.loads(connection.makefile("r", encoding="utf-8").readline())
    return {**asked, "output": list(descriptors)}


def main() -> None:
    """Serve until whoever started this ends; in each process that was forked, be ansible-playbook."""
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        return
    for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *asked["output"]]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    _own_temporary_folder()
    sys.argv = [str(Path(sys.executable).parent / "ansible-playbook"), *asked["words"]]
    # What the program's own file does.
    from ansible.cli.playbook import main as ansible_playbook

    ansible_playbook(sys.argv)


def _own_temporary_folder() -> None:
    """Give this run a folder for its temporary files: it removes that at its end, and has its parent's so far."""
    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    atexit.unregister(cleanup_tmp_file)
    folder = Path(constants.DEFAULT_LOCAL_TMP).parent
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=folder)
    atexit.register(cleanup_tmp_file, constants.DEFAULT_LOCAL_TMP, warn=True)


if __name__ == "__main__":
    main()
