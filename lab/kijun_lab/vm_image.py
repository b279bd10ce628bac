# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that virtual machines start from: built from Debian's packages, kept by their recipe's hash."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from . import apt, images
from .description import Lab
from .podman import lock, run
from .vm_description import VM_FOLDER, Machines, VirtualMachine

# Machine-wide, as podman's storage is: another checkout with the same recipe builds none.
CACHE = Path("/var/cache/kijun-lab/vm")
LOCK = "kijun-lab-vm-build"
CUSTOMIZE = "customize"


@dataclass(frozen=True)
class Disk:
    """A built disk.

    Attributes:
        digest: the hash of its recipe.
        disk: the file, qcow2; never written to again.
        loader: GRUB, as QEMU starts it.
    """

    digest: str
    disk: Path
    loader: Path


def ensure(lab: Lab, machines: Machines, machine: VirtualMachine) -> Disk:
    """Build a machine's disk, unless there is one.

    Args:
        lab: the lab, whose containers' packages and settings it shares.
        machines: all virtual machines.
        machine: which of them.

    Returns:
        The disk.

    Raises:
        LabError: the build failed.
    """
    bootstrap = images.bootstrap_of(
        machine.suite,
        apt.mirrors().sources(machine.suite),
        apt.settings(),
        sorted({*lab.packages, *machines.packages}),
        [images.CUSTOMIZE_HOOK, f'"$KIJUN_VM/{CUSTOMIZE}" "$1" {machine.name}'],
    )
    content = _hash_of(VM_FOLDER), _hash_of(images.RECIPES)
    digest = hashlib.sha256(repr((bootstrap, content, machines.disk)).encode()).hexdigest()[:12]
    folder = CACHE / f"{machine.name}-{digest}"
    found = Disk(digest, folder / "disk.qcow2", folder / "loader")
    if folder.exists():
        return found
    with lock(LOCK):
        if not folder.exists():
            _build(machine.name, folder, bootstrap, machines.disk)
    return found


def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _build(name: str, folder: Path, bootstrap: images.Bootstrap, size: int) -> None:
    """Build a disk beside its place, and put it there when it is whole."""
    started = time.monotonic()
    print(f"{name}: building the disk ...", flush=True)
    work = CACHE / "build"
    shutil.rmtree(work, ignore_errors=True)
    result = work / "result"
    result.mkdir(parents=True)
    root, raw = work / "root", work / "disk.raw"
    run(
        *images.ISOLATED,
        "env", f"TMPDIR={work}", f"KIJUN_RECIPES={images.RECIPES}", f"KIJUN_VM={VM_FOLDER}",
        "mmdebstrap", "--format=directory", *bootstrap.options, bootstrap.suite, root, *bootstrap.sources,
    )  # fmt: skip
    (root / "boot" / "loader").rename(result / "loader")
    run("mke2fs", "-q", "-t", "ext4", "-d", root, raw, f"{size}G")
    run("qemu-img", "convert", "-O", "qcow2", raw, result / "disk.qcow2")
    result.rename(folder)
    shutil.rmtree(work)
    print(f"{name}: disk built ({time.monotonic() - started:.1f} s)", flush=True)


def remove_all() -> None:
    """Remove every disk."""
    with lock(LOCK):
        shutil.rmtree(CACHE, ignore_errors=True)
