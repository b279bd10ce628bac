# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment of awx/, built from its own definition with nothing but Debian's packages and PyPI's.

ansible-builder writes the Containerfile. Where that starts from an image of a registry, the lab has Debian's minimal
base system, made by mmdebstrap; and what pip installs, the machine's own pip has fetched before, so that the build
needs no address of an index. Both are what the definition names; only the way that they come is another one.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from . import apt, images
from .description import CACHE, CHECKOUT
from .podman import lock, podman, podman_change, run

FOLDER = CHECKOUT / "awx" / "execution-environment"
DEFINITION = FOLDER / "execution-environment.yml"
LOCKED = FOLDER / "requirements.txt"
TAG = f"{images.REPOSITORY}-execution-environment"
BASE_TAG = f"{images.REPOSITORY}-execution-environment-base"
# A folder of its own: whoever builds hosts' images meanwhile empties theirs.
WORK = CACHE.with_name("execution-environment")
LOCK = "kijun-lab-execution-environment"

SUITES = {"12": "bookworm", "13": "trixie"}
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
GLIBC = 41
"""The newest glibc, 2.41, that wheels may ask for."""

PROGRAMS = CHECKOUT / ".venv" / "bin"

BUILDER = ("bindep", "distro", "packaging", "parsley", "pbr", "pyyaml", "setuptools")
"""What ansible-builder itself installs in a stage that is thrown away."""

# Mounted on a folder that every system has: a new one would stay in the image.
PIP_CONFIGURATION = "[global]\nno-index = true\nfind-links = /mnt\ndisable-pip-version-check = true\n"


@dataclass(frozen=True)
class Recipe:
    """The image and everything that decides what is in it, except the day it is built on.

    Attributes:
        tag: its full name in podman's storage, which ends in the hash of the recipe.
        base: the full name of the image that it starts from.
        bootstrap: what mmdebstrap is told to make that.
    """

    tag: str
    base: str
    bootstrap: images.Bootstrap


def recipe() -> Recipe:
    """The recipe of the execution environment, as its definition stands."""
    bootstrap = images.bootstrap_of(suite(), apt.mirrors().sources(suite()), apt.settings(), ["ca-certificates"], [])
    base = hashlib.sha256(repr(bootstrap).encode()).hexdigest()[:12]
    content = [(file.name, file.read_bytes()) for file in sorted(FOLDER.iterdir()) if file.is_file()]
    parts = (base, content, PIP_CONFIGURATION, _entries(*BUILDER, "ansible-builder"))
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return Recipe(f"{TAG}:{digest}", f"{BASE_TAG}:{base}", bootstrap)


def suite() -> str:
    """The code name of the Debian release that the definition starts from."""
    name: str = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))["images"]["base_image"]["name"]
    return SUITES[re.split(r"[.-]", name.rpartition(":")[2])[0]]


def ensure() -> str:
    """Build the image, unless podman's storage has it.

    Returns:
        Its full name.

    Raises:
        LabError: the build failed.
    """
    wanted = recipe()
    if _exists(wanted.tag):
        return wanted.tag
    with lock(LOCK):
        if not _exists(wanted.tag):
            started = time.monotonic()
            print("execution environment: building the image ...", flush=True)
            shutil.rmtree(WORK, ignore_errors=True)
            WORK.mkdir(parents=True)
            _build(wanted)
            shutil.rmtree(WORK)
            print(f"execution environment: image built ({time.monotonic() - started:.1f} s)", flush=True)
    return wanted.tag


def _exists(tag: str) -> bool:
    return podman("image", "exists", tag, check=False).returncode == 0


def _build(wanted: Recipe) -> None:
    if not _exists(wanted.base):
        archive = WORK / "root.tar"
        made = wanted.bootstrap
        run(*images.ISOLATED, "env", f"TMPDIR={WORK}", "mmdebstrap", *made.options, made.suite, archive, *made.sources)
        podman_change(LOCK, "import", "--quiet", archive, wanted.base)
        archive.unlink()
    wheels, configuration, context = WORK / "wheels", WORK / "pip.conf", WORK / "context"
    (WORK / "builder.txt").write_text(_entries(*BUILDER), encoding="utf-8")
    _download(LOCKED, wheels)
    _download(WORK / "builder.txt", wheels)
    configuration.write_text(PIP_CONFIGURATION, encoding="utf-8")
    create(context)
    # With the machine's own network, for apt.
    podman_change(
        LOCK, "build", "--quiet", "--network=host", "--layers=false",
        "--volume", f"{wheels}:/mnt:ro", "--volume", f"{configuration}:/etc/pip.conf:ro",
        "--build-arg", f"EE_BASE_IMAGE={wanted.base}", "--tag", wanted.tag, context,
    )  # fmt: skip


def create(context: Path) -> None:
    """Have ansible-builder write the Containerfile and what belongs to it.

    Args:
        context: the folder that they are written to.

    Raises:
        LabError: ansible-builder refused the definition; the text says why.
    """
    where = ("--file", DEFINITION, "--context", context, "--output-filename", "Containerfile")
    run(PROGRAMS / "ansible-builder", "create", *where)


def _entries(*names: str) -> str:
    """The lock's entries of some packages."""
    entries = re.split(r"^(?=[A-Za-z0-9])", (CHECKOUT / "requirements.txt").read_text(encoding="utf-8"), flags=re.M)
    return "".join(entry for entry in entries if entry.partition("==")[0] in names)


def _download(requirements: Path, target: Path) -> None:
    """Fetch wheels for the image's Python with the machine's own pip."""
    machine, python = platform.machine(), PYTHONS[suite()]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)]
    platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    abis = (f"cp{python.replace('.', '')}", "abi3", "none")
    run(
        PROGRAMS / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
        *(f"--abi={name}" for name in abis), *(f"--platform={name}" for name in platforms),
        "--requirement", requirements, "--dest", target,
    )  # fmt: skip
