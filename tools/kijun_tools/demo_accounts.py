# SPDX-License-Identifier: GPL-3.0-or-later
"""An account's life on the demo's hosts: asked for, approved, created, used, found drifted, closed, removed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
from kijun_lab import identity

LOGIN = "operator2"
ROGUE = "backdoor"
HOSTS = ("server12", "server13", "client13")
RIGHTS = {"sudo": ["restart-web"], "groups": ["users"]}
CHECKPOINTS = "checkpoints"


class Accounts:
    """What the demo does with accounts.

    Args:
        folder: where the person's key, the sealed messages and the ledger's pages go; it must be there.
        playbook: runs a playbook with further arguments, its output shown.
        addresses: host -> address.
    """

    def __init__(self, folder: Path, playbook: Callable[..., None], addresses: dict[str, str]) -> None:
        self.folder = folder
        self.addresses = addresses
        self.key = folder / "id_ed25519"
        self.settings = {
            "accounts_handover_directory": str(folder / "handover"),
            "accounts_report_directory": str(folder),
            "kijun_ledger_checkpoint_file": str(folder / CHECKPOINTS),
        }
        self._playbook = playbook
        self.key.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", LOGIN, "-f", str(self.key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def playbook(self, name: str, **variables: object) -> None:
        """Run a playbook with the demo's settings."""
        self._playbook(name, "-e", json.dumps({**self.settings, **variables}))

    def enter(self, *entries: dict[str, object]) -> None:
        """Enter changes into the ledger."""
        self.playbook("account_ledger", account_entries=entries)

    def apply_for_it(self) -> None:
        """Somebody asks for an account; nobody has approved it yet."""
        self.enter(
            {
                "login": LOGIN,
                "action": "request",
                "person": "Sample Person",
                "department": "development",
                "hosts": list(HOSTS),
                "justification": "Operates the web servers",
                "requester": "operator1",
                "ticket": "REQ-1001",
                "ssh_keys": [self.key.with_suffix(".pub").read_text(encoding="utf-8").strip()],
                **RIGHTS,
            }
        )

    def approve(self) -> None:
        """Somebody else approves it."""
        self.enter({"login": LOGIN, "action": "approve", "approver": "manager1", "ticket": "REQ-1001"})

    def leave(self) -> None:
        """The person leaves."""
        self.enter({"login": LOGIN, "action": "disable", "status_reason": "left the organisation"})

    def remove(self) -> None:
        """The account is removed."""
        self.enter({"login": LOGIN, "action": "remove", "status_reason": "left the organisation"})

    def opened(self) -> str:
        """The sealed message, opened with the person's key; without the password in it."""
        sealed = max((self.folder / "handover").glob(f"{LOGIN}-*.age"))
        private = pyrage.ssh.Identity.from_buffer(self.key.read_bytes())
        text = bytes(pyrage.decrypt(sealed.read_bytes(), [private])).decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("    ")]
        return f"{sealed.name}: " + "; ".join(lines[:3])

    def logs_in(self, host: str) -> bool:
        """Whether the person gets in with the key."""
        command = ["ssh", "-i", str(self.key), "-o", f"UserKnownHostsFile={identity.KNOWN_HOSTS}"]
        for option in ("IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "BatchMode=yes"):
            command += ["-o", option]
        command += [f"{LOGIN}@{self.addresses[host]}", "true"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
