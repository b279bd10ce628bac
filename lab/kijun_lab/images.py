# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that hosts start from: built from Debian's packages, kept in podman's storage by their recipe's hash."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import apt
from .description import CACHE, LAB_FOLDER, Image, Lab
from .podman import lock, podman, podman_change, run

RECIPES = LAB_FOLDER / "image"
CUSTOMIZE = "customize"
CUSTOMIZE_HOOK = f'"$KIJUN_RECIPES/{CUSTOMIZE}" "$1"'
# In mount and process namespaces of its own, which end with this process: killed at any moment, no mount of a half-made
# root stays behind, and no process that writes to it.
ISOLATED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
REPOSITORY = "localhost/kijun-lab"
LOCK = "kijun-lab-build"
MACHINE_CERTIFICATES = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Recipe:
    """An image and everything that decides what is in it, except the day it is built on.

    Attributes:
        image: which image.
        tag: its full name in podman's storage, which ends in the hash of the recipe.
        base: the tag of the image it is derived from, if it is derived.
        bootstrap: what mmdebstrap is told if it is not: options, release, and (behind the file to write) sources.
    """

    image: Image
    tag: str
    base: str | None
    bootstrap: Bootstrap | None


@dataclass(frozen=True)
class Bootstrap:
    """What mmdebstrap is told.

    Attributes:
        options: its options.
        suite: the release's code name.
        sources: lines of sources.list(5).
    """

    options: tuple[str, ...]
    suite: str
    sources: tuple[str, ...]


def recipes(lab: Lab) -> dict[str, Recipe]:
    """The recipes of all images.

    Args:
        lab: the lab.

    Returns:
        By image name, a base before what is derived from it.
    """
    mirrors = apt.mirrors()
    settings = apt.settings()
    found: dict[str, Recipe] = {}
    for image in lab.images.values():
        base = found[image.base].tag if image.base else None
        bootstrap = (
            bootstrap_of(image.suite, mirrors.sources(image.suite), settings, lab.packages, [CUSTOMIZE_HOOK])
            if image.suite
            else None
        )
        content = _folder_hash(RECIPES / image.name if base else RECIPES)
        digest = hashlib.sha256(repr((base, bootstrap, content)).encode()).hexdigest()[:12]
        found[image.name] = Recipe(image, f"{REPOSITORY}-{image.name}:{digest}", base, bootstrap)
    return found


def bootstrap_of(
    suite: str, sources: list[str], settings: list[str], packages: Iterable[str], hooks: list[str]
) -> Bootstrap:
    """What mmdebstrap is told to make a host.

    Args:
        suite: the release's code name.
        sources: lines of sources.list(5).
        settings: lines of apt.conf(5).
        packages: what is installed beside Debian's minimal base.
        hooks: shell commands that end the work; ``$1`` is the new root.
    """
    if any("https:" in line for line in sources + settings):
        # The machine's own certificate authorities may be the ones that vouch for its mirror or proxy.
        hooks = [f"copy-in {MACHINE_CERTIFICATES} /usr/local/share", 'chroot "$1" update-ca-certificates', *hooks]
    options = [
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--skip=cleanup/apt/lists",
        f"--include={','.join(packages)}",
        # Nobody reads translated package descriptions here; without them the lists are a third smaller.
        '--aptopt=Acquire::Languages "none"',
        *(f"--aptopt={line}" for line in settings),
        *(f"--customize-hook={hook}" for hook in hooks),
    ]
    return Bootstrap(tuple(options), suite, tuple(sources))


def _folder_hash(folder: Path) -> str:
    """A hash of the names, modes and contents of what goes into an image from a folder."""
    sources = [folder / CUSTOMIZE, folder / "common"] if folder == RECIPES else [folder]
    paths = [path for source in sources for path in (source, *source.rglob("*"))]
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def ensure(lab: Lab, fresh: bool = False) -> dict[str, Recipe]:
    """Build the images that podman's storage does not have.

    A build that was killed leaves a folder that the next one removes, and no image: its last step names it.

    Args:
        lab: the lab.
        fresh: build them all anew, with the packages of today.

    Returns:
        The recipes of all images, by name.

    Raises:
        LabError: a build failed.
    """
    found = recipes(lab)
    if not fresh and not _missing(found):
        return found
    with lock(LOCK):
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        missing = list(found.values()) if fresh else _missing(found)
        with ThreadPoolExecutor() as pool:
            list(pool.map(_timed_build, [recipe for recipe in missing if recipe.base is None]))
        for recipe in missing:
            if recipe.base is not None:
                _timed_build(recipe)
        shutil.rmtree(CACHE)
    return found


def remove_all() -> None:
    """Remove every image of the lab, older ones too, and the build folder."""
    with lock(LOCK):
        listed = podman("images", "--filter", f"reference={REPOSITORY}-*", "--format", "{{.ID}}").stdout.split()
        if listed:
            podman_change(LOCK, "rmi", "--force", *dict.fromkeys(listed))
        shutil.rmtree(CACHE, ignore_errors=True)


def _missing(found: dict[str, Recipe]) -> list[Recipe]:
    existing = podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    return [recipe for recipe in found.values() if recipe.tag not in existing]


def _timed_build(recipe: Recipe) -> None:
    started = time.monotonic()
    print(f"{recipe.image.name}: building the image ...", flush=True)
    if recipe.bootstrap is not None:
        _build_bootstrapped(recipe.image.name, recipe.tag, recipe.bootstrap)
    else:
        _build_derived(recipe)
    print(f"{recipe.image.name}: image built ({time.monotonic() - started:.1f} s)", flush=True)


def _build_bootstrapped(name: str, tag: str, bootstrap: Bootstrap) -> None:
    """Build an image from nothing but Debian's packages."""
    work = CACHE / name
    work.mkdir()
    archive = work / "root.tar"
    run(
        *ISOLATED,
        "env", f"TMPDIR={work}", f"KIJUN_RECIPES={RECIPES}",
        "mmdebstrap", *bootstrap.options, bootstrap.suite, archive, *bootstrap.sources,
    )  # fmt: skip
    podman_change(LOCK, "import", "--quiet", archive, tag)
    shutil.rmtree(work)


def _build_derived(recipe: Recipe) -> None:
    """Build an image on top of another one, from its Containerfile."""
    folder = RECIPES / recipe.image.name
    # With the machine's own network: a build needs no network of the lab.
    podman_change(
        LOCK, "build", "--quiet", "--network=host", "--build-arg", f"BASE={recipe.base}", "--tag", recipe.tag, folder
    )
