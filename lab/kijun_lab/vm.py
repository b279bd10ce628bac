# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines of one instance: started, made fresh, rebooted, removed.

A machine boots once in the life of a checkout's keys and of its disk's recipe; its memory and disk are kept as they are
then (QEMU's savevm), and every fresh machine goes on from there. Emulated, a boot takes half a minute; that, a second.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import identity, vm_image
from .description import CHECKOUT, STATE, Lab, lock_name
from .errors import LabError
from .podman import lock, run
from .vm_description import Machines, VirtualMachine

PACKAGES = ("qemu-system-x86", "qemu-utils")
EMULATOR = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
# What runs a machine's instructions: the processor itself, or QEMU.
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
}
FOLDER = STATE / "vm"
# Short: the path of a socket may have 107 characters.
RUN = Path("/run/kijun-lab-vm")
SNAPSHOT = "fresh"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
START_TIMEOUT = 300.0
SSH_TIMEOUT = 20


class Unavailable(LabError):
    """This machine cannot run virtual machines; the text says why."""


@dataclass(frozen=True)
class Instance:
    """A virtual machine's place on this machine.

    Attributes:
        machine: which machine.
        name: what it is called among all instances, as ``kijun-lab0-vm13``.
    """

    machine: VirtualMachine
    name: str

    @property
    def folder(self) -> Path:
        """Its disk, its console, and which fresh state it comes from."""
        return FOLDER / self.name

    @property
    def disk(self) -> Path:
        """Its disk, which holds the snapshot too."""
        return self.folder / "disk.qcow2"

    @property
    def origin(self) -> Path:
        """The file with the key of the fresh state it comes from."""
        return self.folder / "origin"

    @property
    def run(self) -> Path:
        """What there is of it while it runs: monitor, pid, checkout."""
        return RUN / self.name


def instances(machines: Machines, names: list[str]) -> list[Instance]:
    """The virtual machines of these names.

    Args:
        machines: the description.
        names: names of virtual machines, and perhaps of other hosts, which are left out.
    """
    prefix = lock_name(machines.instance)
    return [
        Instance(machine, f"{prefix}-{machine.name}") for machine in machines.machines.values() if machine.name in names
    ]


def require_machine() -> None:
    """Make sure that this machine can run virtual machines; install QEMU from Debian's packages when it is missing.

    Raises:
        Unavailable: it cannot.
    """
    architecture = run("dpkg", "--print-architecture").stdout.strip()
    if architecture != "amd64":
        raise Unavailable(f"no virtual machines here: they are amd64 and this machine is {architecture}")
    if shutil.which(EMULATOR) and shutil.which("qemu-img"):
        return
    print(f"lab: installing {' '.join(PACKAGES)}", flush=True)
    options = ["--yes", "--quiet=2", "--no-install-recommends", "-oDPkg::Lock::Timeout=300"]
    try:
        run("apt-get", "update", "--quiet=2")
        run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, *PACKAGES)
    except LabError as error:
        raise Unavailable(f"no virtual machines here: QEMU cannot be installed: {error}") from None


def up(lab: Lab, machines: Machines, chosen: list[Instance]) -> None:
    """Bring virtual machines up; what is up stays as it is.

    Args:
        lab: the lab.
        machines: the description.
        chosen: which of them.

    Raises:
        LabError: one belongs to another checkout, or does not come up.
    """
    for instance in chosen:
        _timed(instance, functools.partial(_bring_up, lab, machines, instance))


def _bring_up(lab: Lab, machines: Machines, instance: Instance) -> str:
    _refuse_foreign(instance)
    if is_running(instance):
        _wait(machines, instance)
        return "is up"
    built = vm_image.ensure(lab, machines, instance.machine)
    if instance.origin.exists() and instance.origin.read_text(encoding="ascii") == _key(machines, instance, built):
        _start(machines, instance, built)
        _wait(machines, instance)
        return "is up again"
    return _make_fresh(machines, instance, built)


def reset(lab: Lab, machines: Machines, chosen: list[Instance]) -> None:
    """Make virtual machines fresh: disk and memory as they were after their first boot.

    Args:
        lab: the lab.
        machines: the description.
        chosen: which of them.

    Raises:
        LabError: one belongs to another checkout, or does not come up.
    """
    for instance in chosen:
        _refuse_foreign(instance)
        built = vm_image.ensure(lab, machines, instance.machine)
        _timed(instance, functools.partial(_make_fresh, machines, instance, built))


def reboot(machines: Machines, chosen: list[Instance]) -> None:
    """Reboot virtual machines; they keep what is on their disks.

    Args:
        machines: the description.
        chosen: which of them.

    Raises:
        LabError: one is not up, or does not come up again.
    """

    def restart(instance: Instance) -> str:
        before = _ask(machines, instance, f"cat {BOOT_ID}").stdout
        if not before:
            raise LabError(f"{instance.machine.name} is not up; `lab/lab up {instance.machine.name}` brings it up")
        _ask(machines, instance, "sudo systemctl reboot")
        _wait(machines, instance, before)
        return "rebooted"

    for instance in chosen:
        _timed(instance, functools.partial(restart, instance))


def remove(instance_number: int) -> None:
    """Remove the virtual machines of an instance, of whichever checkout; there may be none.

    Args:
        instance_number: 0 to 199.
    """
    for folder in RUN.glob(f"{lock_name(instance_number)}-*"):
        _stop(folder)
    for folder in FOLDER.glob(f"{lock_name(instance_number)}-*"):
        shutil.rmtree(folder)


def remove_all() -> None:
    """Remove the virtual machines of every instance, their fresh states, and the disks they are made from."""
    for folder in RUN.glob("*"):
        _stop(folder)
    shutil.rmtree(FOLDER, ignore_errors=True)
    vm_image.remove_all()


def is_running(instance: Instance) -> bool:
    """Whether a virtual machine runs."""
    return _process(instance.run) is not None


def state(instance: Instance) -> str:
    """What a table says of a virtual machine."""
    if not is_running(instance):
        return "down" if not instance.disk.exists() else "shut down"
    checkout = (instance.run / "checkout").read_text(encoding="utf-8")
    return "running" if checkout == str(CHECKOUT) else f"running, of {checkout}"


def login(machines: Machines, machine: VirtualMachine, *options: str) -> list[str]:
    """The command line that logs in to a virtual machine; a command can follow.

    Args:
        machines: the description.
        machine: which of them.
        options: further options of ssh(1).
    """
    return [
        "ssh", "-i", str(identity.USER_KEY), "-p", str(machines.port), "-oIdentitiesOnly=yes", "-oBatchMode=yes",
        f"-oUserKnownHostsFile={identity.KNOWN_HOSTS}", "-oStrictHostKeyChecking=yes", "-oLogLevel=ERROR",
        f"-oConnectTimeout={SSH_TIMEOUT}", *options, f"admin@{machine.address}",
    ]  # fmt: skip


def _timed(instance: Instance, action: Callable[[], str]) -> None:
    """Do something, and tell its outcome and time."""
    started = time.monotonic()
    outcome = action()
    machine = instance.machine
    print(f"{machine.name:<10} {machine.address:<15} {outcome} ({time.monotonic() - started:.1f} s)", flush=True)


def _refuse_foreign(instance: Instance) -> None:
    if is_running(instance):
        checkout = (instance.run / "checkout").read_text(encoding="utf-8")
        if checkout != str(CHECKOUT) and Path(checkout).exists():
            raise LabError(
                f"{instance.name} is in use by the checkout {checkout}: choose another instance with KIJUN_LAB, or "
                "remove it with `lab/lab down`"
            )


def _make_fresh(machines: Machines, instance: Instance, built: vm_image.Disk) -> str:
    key = _key(machines, instance, built)
    booted = FOLDER / f"{instance.machine.name}-{key}.qcow2"
    with lock(f"kijun-lab-{booted.name}"):
        if not booted.exists():
            _boot_once(machines, instance, built, booted)
    _stop(instance.run)
    instance.folder.mkdir(parents=True, exist_ok=True)
    instance.origin.unlink(missing_ok=True)
    run("cp", "--reflink=auto", "--sparse=always", booted, instance.disk)
    instance.origin.write_text(key, encoding="ascii")
    _start(machines, instance, built, "-loadvm", SNAPSHOT)
    _wait(machines, instance)
    return "is fresh"


def _key(machines: Machines, instance: Instance, built: vm_image.Disk) -> str:
    """The key of a machine's fresh state: of all that it depends on."""
    version = run(EMULATOR, "--version").stdout.partition("\n")[0]
    parts = (built, machines.memory, version, _accelerators(), _own_files(instance.machine), _serial(instance.machine))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _boot_once(machines: Machines, instance: Instance, built: vm_image.Disk, booted: Path) -> None:
    """Boot a machine for the first time, and keep its state."""
    print(f"{instance.machine.name}: booting for the first time ...", flush=True)
    _stop(instance.run)
    for older in FOLDER.glob(f"{instance.machine.name}-*.qcow2"):
        older.unlink()
    instance.folder.mkdir(parents=True, exist_ok=True)
    instance.origin.unlink(missing_ok=True)
    instance.disk.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", built.disk, "-F", "qcow2", instance.disk)
    _start(machines, instance, built)
    _wait(machines, instance)
    done = _ask(machines, instance, "sudo sh -ec 'update-grub && sync && echo 3 >/proc/sys/vm/drop_caches' 2>&1", 120)
    if done.returncode:
        raise LabError(f"{instance.machine.name}: update-grub failed: {done.stdout[-1000:]}")
    _command(instance.run, f"savevm {SNAPSHOT}")
    _stop(instance.run)
    instance.disk.rename(booted)


def _accelerators() -> list[str]:
    """What can run a machine's instructions here, the quickest first.

    A machine that is itself virtual may have KVM without the processor's help; a boot then takes longer than emulated.
    """
    helps = re.search(r"^flags\s*:.*\b(vmx|svm)\b", CPUINFO.read_text(encoding="ascii"), re.MULTILINE)
    usable = helps is not None and os.access(KVM, os.R_OK | os.W_OK)
    return ["kvm", "tcg"] if usable else ["tcg"]


def _start(machines: Machines, instance: Instance, built: vm_image.Disk, *more: str) -> None:
    """Start QEMU, in the background."""
    shutil.rmtree(instance.run, ignore_errors=True)
    instance.run.mkdir(mode=0o700, parents=True)
    files = instance.run / "files"
    files.write_text(_own_files(instance.machine), encoding="ascii")
    (instance.run / "checkout").write_text(str(CHECKOUT), encoding="utf-8")
    command = [
        EMULATOR, "-name", instance.name, "-nodefaults", "-no-user-config", "-display", "none", "-daemonize",
        "-machine", "q35", "-m", str(machines.memory), "-smp", "2",
        "-kernel", str(built.loader), "-smbios", f"type=1,serial={_serial(instance.machine)}",
        # cache=unsafe: nobody misses what this machine's power loss would lose.
        "-drive", f"file={instance.disk},format=qcow2,if=virtio,cache=unsafe,discard=unmap",
        "-netdev", f"user,id=net,hostfwd=tcp:{instance.machine.address}:{machines.port}-:22",
        "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
        "-fw_cfg", f"name=opt/io.systemd.credentials/tmpfiles.extra,file={files}",
        "-serial", f"file:{instance.folder / 'console.log'}",
        "-qmp", f"unix:{instance.run / 'monitor'},server=on,wait=off", "-pidfile", str(instance.run / "pid"), *more,
    ]  # fmt: skip
    failures = []
    for name in _accelerators():
        done = run(*command, *ACCELERATORS[name], check=False)
        if done.returncode == 0:
            return
        # A kernel may offer KVM where the processor below it does not really carry it.
        failures.append(f"{name}: {done.stderr.strip()[-500:]}")
    raise LabError(f"{instance.machine.name}: QEMU does not start: {'; '.join(failures)}")


def _serial(machine: VirtualMachine) -> str:
    """The serial that a machine's firmware tells."""
    return f"SN-{machine.name}"


def _own_files(machine: VirtualMachine) -> str:
    """What tells a machine from every other one made from its disk: lines of tmpfiles.d(5), a credential of systemd."""
    key = identity.HOST_KEYS / machine.name
    rows = [
        ("/etc/ssh/ssh_host_ed25519_key", "0600", "root", key),
        ("/etc/ssh/ssh_host_ed25519_key.pub", "0644", "root", identity.public_file(key)),
        ("/home/admin/.ssh/authorized_keys", "0600", "admin", identity.public_file(identity.USER_KEY)),
    ]
    lines = ["d /home/admin/.ssh 0700 admin admin"]
    for path, mode, owner, source in rows:
        content = base64.b64encode(source.read_bytes()).decode("ascii")
        lines.append(f"f+~ {path} {mode} {owner} {owner} - {content}")
    return "\n".join(lines) + "\n"


def _ask(
    machines: Machines, instance: Instance, command: str, timeout: float = SSH_TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a machine; standard output is empty when it cannot be reached."""
    line = [*login(machines, instance.machine), command]
    try:
        return subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, 255, "", "")


def _wait(machines: Machines, instance: Instance, not_boot: str = "") -> None:
    """Wait until a machine's boot is finished and it lets us in; its clock is then this machine's.

    Args:
        machines: the description.
        instance: the machine.
        not_boot: the id of a boot that is over.

    Raises:
        LabError: it took too long, or QEMU ended.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        # What was restored goes on with the clock it had.
        clock = f"sudo date -s @{time.time():.0f} >/dev/null"
        said = _ask(machines, instance, f"{clock}; cat {BOOT_ID}; systemctl is-system-running").stdout.split()
        if len(said) == 2 and said[0] != not_boot.strip() and said[1] in ("running", "degraded"):
            return
        if not is_running(instance):
            break
        time.sleep(0.3)
    name, console = instance.machine.name, instance.folder / "console.log"
    raise LabError(f"{name} did not come up. Look: {console}; start again: `lab/lab reset {name}`")


def _process(folder: Path) -> int | None:
    """The process of a machine; None when it does not run."""
    try:
        number = int((folder / "pid").read_text(encoding="ascii"))
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return number if folder.name.encode() in words else None


def _stop(folder: Path) -> None:
    """End a machine as a pulled plug would, and forget that it ran."""
    number = _process(folder)
    if number is not None:
        with contextlib.suppress(OSError):
            _command(folder, "quit")
        while _process(folder) is not None:
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _command(folder: Path, line: str) -> None:
    """Give QEMU a command of its monitor.

    Args:
        folder: where its socket is.
        line: the command.

    Raises:
        LabError: QEMU says something against it.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(folder / "monitor"))
        with client.makefile("rw", encoding="utf-8") as stream:
            stream.readline()
            for execute, arguments in (
                ("qmp_capabilities", None),
                ("human-monitor-command", {"command-line": line}),
            ):
                stream.write(json.dumps({"execute": execute, **({"arguments": arguments} if arguments else {})}) + "\n")
                stream.flush()
                answer: dict[str, object] = {"event": ""}
                while "event" in answer:
                    text = stream.readline()
                    answer = json.loads(text) if text else {"return": ""}
                if "error" in answer or (execute != "qmp_capabilities" and answer["return"]):
                    raise LabError(f"QEMU: {line}: {answer}")


def enter(machines: Machines, instance: Instance, words: list[str], terminal: bool) -> list[str]:
    """The command line that runs a command on a machine as root.

    Raises:
        LabError: it is not up.
    """
    if not is_running(instance):
        name = instance.machine.name
        raise LabError(f"{name} is not up; `lab/lab up {name}` brings it up")
    options = ["-tt"] if terminal else []
    return [*login(machines, instance.machine, *options), "sudo", shlex.join(words)]
