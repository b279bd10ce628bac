# SPDX-License-Identifier: GPL-3.0-or-later
"""How this machine reaches Debian's packages, so that the lab's hosts reach them the same way.

apt itself reads the machine's configuration, one-line and deb822 sources alike; this module chooses from what it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .podman import run

OS_RELEASE = Path("/etc/os-release")
# Mirrors carry Debian's own signatures, so Debian's own keys check them.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INDEX_FORMAT = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)"
LIST_INDEXES = ("apt-get", "indextargets", "--format", INDEX_FORMAT, "Created-By: Packages")

# Settings without which a machine may not reach its mirror; everything else stays as Debian delivers it.
NEEDED_SETTING = re.compile(
    r"Acquire::(https?::|(Retries|Check-Valid-Until|Check-Date|Max-FutureTime|ForceIPv[46]|AllowReleaseInfoChange) )",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mirrors:
    """Where Debian's packages are: the addresses of the archive and of its security updates."""

    archive: str
    security: str

    def sources(self, suite: str) -> list[str]:
        """The lines of a sources.list for a release.

        Args:
            suite: its code name, for example ``trixie``.

        Returns:
            One-line sources as sources.list(5) has them.
        """
        return [
            f"deb [signed-by={KEYRING}] {address} {name} main"
            for address, name in (
                (self.archive, suite),
                (self.archive, f"{suite}-updates"),
                (self.security, f"{suite}-security"),
            )
        ]


def mirrors() -> Mirrors:
    """The machine's own mirrors.

    Raises:
        LabError: the machine's apt has no source for Debian.
    """
    release = re.search(r"^VERSION_CODENAME=\"?(\w+)", OS_RELEASE.read_text(encoding="utf-8"), re.MULTILINE)
    codename = release[1] if release else ""
    try:
        return choose_mirrors(run(*LIST_INDEXES).stdout, codename)
    except LabError:
        # Before the machine's first "apt-get update" apt knows its sources, but not whose they are.
        return choose_mirrors(run(*LIST_INDEXES, "--no-release-info").stdout, codename)


def choose_mirrors(targets: str, codename: str) -> Mirrors:
    """Choose Debian's archive and security archive from all the package indexes that a machine uses.

    Args:
        targets: one index a line, with tabs between address, suite, component and origin (empty before a first
            ``apt-get update``), as ``apt-get indextargets --format`` prints them.
        codename: the machine's release, for example ``bookworm``.

    Returns:
        The mirrors. Without a security source it is the archive's address with ``-security`` behind it, which is how
        Debian and its mirrors lay them out.

    Raises:
        LabError: there is no archive among the indexes.
    """
    archive = security = None
    for line in targets.splitlines():
        address, suite, component, origin = line.split("\t")
        if component != "main" or origin not in ("Debian", "", "$(ORIGIN)"):
            continue
        address = address.rstrip("/")
        if suite in (codename, "stable", "oldstable"):
            archive = archive or address
        elif suite.endswith(("-security", "/updates")):
            security = security or address
    if archive is None:
        raise LabError(f"apt on this machine has no source of Debian's main packages (suite {codename!r})")
    return Mirrors(archive, security or f"{archive}-security")


def settings(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The settings that the machine's apt needs to reach its mirrors, proxies above all.

    Args:
        environment: environment variables, whose proxies apt honours too.

    Returns:
        Lines of apt.conf(5).
    """
    return needed_settings(run("apt-config", "dump").stdout, environment)


def needed_settings(dump: str, environment: Mapping[str, str]) -> list[str]:
    """Choose from all of apt's settings those for reaching a mirror.

    Args:
        dump: what ``apt-config dump`` prints.
        environment: environment variables; ``http_proxy`` and ``https_proxy`` count where apt has no setting.

    Returns:
        Lines of apt.conf(5).
    """
    needed = [line for line in dump.splitlines() if NEEDED_SETTING.match(line) and not line.endswith(' "";')]
    for scheme in ("http", "https"):
        proxy = environment.get(f"{scheme}_proxy")
        setting = f"Acquire::{scheme}::Proxy"
        if proxy and not any(line.lower().startswith(setting.lower() + " ") for line in needed):
            needed.append(f'{setting} "{proxy}";')
    return needed
