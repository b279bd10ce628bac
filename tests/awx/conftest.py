# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks as a job of AWX's runs them on the controller, and a store that says what AWX says of its workflow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade
from kijun_awx import TOKEN, Run, Store
from kijun_hosts import ansible_playbook


class Unsafe(str):
    """A survey's answer, as AWX writes it into a job's variables."""


class Dumper(yaml.SafeDumper):
    """Marks answers, so that Ansible evaluates nothing in them."""


Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    upgrade(url)
    return url


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def run(tmp_path: Path, url: str, store: Store) -> Run:
    """Runs a playbook as AWX does, started by somebody, with a survey's answers."""

    def run(playbook: str, user: str, answers: dict[str, Any], **own: Any) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "extravars"
        given = {name: Unsafe(value) for name, value in answers.items()}
        file.write_text(yaml.dump({**given, "awx_user_name": user, **own}, Dumper=Dumper), encoding="utf-8")
        inventory = tmp_path / "hosts.yml"
        inventory.write_text("all: {hosts: {web1: {}, web2: {}}}\n", encoding="utf-8")
        return ansible_playbook(
            *("-i", str(inventory), f"playbooks/{playbook}.yml", "-e", f"@{file}"),
            KIJUN_LEDGER_URL=url,
            KIJUN_JOURNAL="no",
            CONTROLLER_HOST=store.address,
            CONTROLLER_OAUTH_TOKEN=TOKEN,
        )

    return run
