# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests of the tree share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from kijun_tools import policy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in every run how much of the register is claimed."""
    terminalreporter.section("policy")
    terminalreporter.line(policy.summary())


Tree = dict[str, str]
"""Absolute path -> text of a file."""


@pytest.fixture
def host_with(tmp_path: Path) -> Callable[[Tree], Host]:
    """Make a host that holds files."""

    def make(files: Tree) -> Host:
        for path, text in files.items():
            place = tmp_path / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode())
        return Host(str(tmp_path))

    return make


@pytest.fixture
def pam_tree() -> Callable[..., Tree]:
    """Give the PAM files of a release of Debian, with its own shared stacks or with those of role authentication."""
    stacks = yaml.safe_load((Path(__file__).parent / "data" / "pam" / "stacks.yml").read_text(encoding="utf-8"))

    def files(release: int = 13, profiles: str = "kijun", **changed: str) -> Tree:
        older = stacks["debian12"] if release == 12 else {}
        texts = {**stacks["debian13"], **older, **stacks["stock"], **stacks[profiles]}
        texts.update({service.replace("_", "-"): text for service, text in changed.items()})
        os_release = f'ID=debian\nVERSION_ID="{release}"\nPRETTY_NAME="Debian GNU/Linux {release}"\n'
        return {"/etc/os-release": os_release, **{f"/etc/pam.d/{service}": text for service, text in texts.items()}}

    return files
