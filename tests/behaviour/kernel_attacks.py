# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on a host's kernel from within; run there as root. Prints which of them get what they want, as JSON.

With the name of an attack as argument it makes that one, as the user who runs it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534
BY_NAME = ("hfs", "dccp", "usb_storage", "firewire_core")


def reads_addresses() -> bool:
    """Whether root's programs are told where the kernel is in memory."""
    with Path("/proc/kallsyms").open(encoding="ascii") as symbols:
        return any(int(line.split()[0], 16) for line in symbols)


def foresees_addresses() -> bool:
    """Whether a program's stack is twice at the same place."""
    show = [sys.executable, "-c", "print([line for line in open('/proc/self/maps') if '[stack]' in line])"]
    first, second = (subprocess.run(show, capture_output=True, check=True).stdout for _ in range(2))
    return first == second


def reads_the_log() -> bool:
    """Whether anybody can read the kernel's messages, which tell of addresses and devices: syslog(2), READ_ALL."""
    buffer = ctypes.create_string_buffer(4096)
    return ctypes.CDLL(None).klogctl(3, buffer, len(buffer)) >= 0


def looks_into_a_neighbour() -> bool:
    """Whether a process can read the memory of another one of the same user."""
    with subprocess.Popen(["sleep", "30"]) as neighbour:
        try:
            reader = f"open('/proc/{neighbour.pid}/mem', 'rb')"
            return subprocess.run([sys.executable, "-c", reader], capture_output=True, check=False).returncode == 0
        finally:
            neighbour.kill()


def brings_a_program_into_the_kernel() -> bool:
    """Whether anybody can use bpf(2): here, to make a map of one entry."""
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    return ctypes.CDLL(None).syscall(321, 0, attributes, ctypes.sizeof(attributes)) >= 0


def misleads_root_by_a_link() -> bool:
    """Whether root follows a link that somebody else has put into a shared directory."""
    return _meets(lambda folder: (folder / "planted").symlink_to("/etc/hostname"), os.O_RDONLY)


def misleads_root_by_a_file() -> bool:
    """Whether root writes to a file that somebody else has put where root means to make one."""
    return _meets(lambda folder: (folder / "planted").touch(), os.O_WRONLY | os.O_CREAT)


def _meets(plant: Callable[[Path], None], flags: int) -> bool:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        child = os.fork()
        if child == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            plant(folder)
            os._exit(0)
        os.waitpid(child, 0)
        try:
            os.close(os.open(folder / "planted", flags))
        except PermissionError:
            return False
        return True


def keeps_a_foreign_file() -> bool:
    """Whether anybody can make a link to a file that they may not write to, and so keep it after its removal."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        try:
            os.link("/etc/hostname", Path(folder) / "kept")
        except PermissionError:
            return False
    return True


def leaves_its_memory_behind() -> bool:
    """Whether a crash writes the process's memory to disk, when nothing limits it."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        subprocess.run([sys.executable, "-c", "import os; os.abort()"], cwd=folder, capture_output=True, check=False)
        return any(folder.iterdir())
    finally:
        shutil.rmtree(folder)


def loads_modules_by_name() -> bool:
    """Whether modprobe(8) loads what nobody needs."""
    loaded = [subprocess.run(["modprobe", name], capture_output=True, check=False).returncode == 0 for name in BY_NAME]
    assert len(set(loaded)) == 1, loaded
    return loaded[0]


def loads_a_module_by_a_socket() -> bool:
    """Whether anybody has the kernel load a protocol by opening a socket of it."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        assert error.errno == errno.EPROTONOSUPPORT, error
        return False
    return True


AS_ROOT = (
    *(reads_addresses, foresees_addresses, misleads_root_by_a_link, misleads_root_by_a_file),
    *(leaves_its_memory_behind, loads_modules_by_name),
)
AS_NOBODY = (
    *(reads_the_log, looks_into_a_neighbour, brings_a_program_into_the_kernel, keeps_a_foreign_file),
    loads_a_module_by_a_socket,
)


def as_nobody(attack: Callable[[], bool]) -> bool:
    """Make an attack as a user without rights."""
    line = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*line, sys.executable, __file__, attack.__name__], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return bool(json.loads(done.stdout))


def main() -> None:
    """Make the attacks."""
    if len(sys.argv) > 1:
        print(json.dumps(globals()[sys.argv[1]]()))
        return
    results = {attack.__name__: attack() for attack in AS_ROOT}
    print(json.dumps({**results, **{attack.__name__: as_nobody(attack) for attack in AS_NOBODY}}))


if __name__ == "__main__":
    main()
