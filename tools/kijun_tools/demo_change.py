# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that breaks a service on one of the demo's hosts, and is taken back to the last byte by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

HOST = "server13"
SERVER = "time1"
SERVICE = "chrony"

INVENTORY = "inventories/lab,inventories/demo"
"""With it, one host keeps the backups of another."""

DAMAGE = (
    "echo 'pool nonsense ???' >>/etc/chrony/chrony.conf",
    "DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq chrony >/dev/null",
    "echo 'Welcome to the new time service' >/etc/motd",
)
"""What the bad change does: settings that make no sense, a package removed, and one file of its own."""

STATE = (
    "{ find /boot /etc /usr /opt -xdev -type f -not -path '/etc/kijun/*' -print0 | sort -z | xargs -0 sha256sum;"
    " stat -c '%n %a %U:%G' /etc/chrony/* /usr/sbin/chronyd /etc/motd;"
    " dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'; } 2>&1 | sha256sum"
)
"""One hash of every file of the system, of modes and owners where the damage is done, and of the packages."""


class Change:
    """What the demo does with a change.

    Args:
        folder: where the bad change is written as a playbook; it must be there.
        playbook: runs a playbook of Kijun's with further arguments; its output is shown, and a failure raised.
        fails: runs one that must fail, and returns what it printed.
    """

    def __init__(self, folder: Path, playbook: Callable[..., None], fails: Callable[..., str]) -> None:
        self._bad = folder / "bad_change.yml"
        self._playbook = playbook
        self._fails = fails

    def prepare(self) -> None:
        """Have the host back itself up, and be able to take changes back."""
        opening = json.dumps({"kijun_role": "kijun.baseline.firewall"})
        self._playbook("role", "--limit", SERVER, "-e", opening, ANSIBLE_INVENTORY=INVENTORY)
        self._playbook("backup", "--limit", f"{SERVER},{HOST}", ANSIBLE_INVENTORY=INVENTORY)

    def go_wrong(self) -> str:
        """Carry out a change that breaks the host's time service.

        Returns:
            What the run printed.
        """
        tasks = [{"name": line[:60], "ansible.builtin.shell": line, "changed_when": True} for line in DAMAGE]
        play = {"name": "Renew the time service", "hosts": HOST, "gather_facts": False, "become": True, "tasks": tasks}
        self._bad.write_text(json.dumps([play], indent=2), "utf-8")
        said = {
            "kijun_change_ticket": "CHG-1042",
            "kijun_change_implementer": "operator1",
            "kijun_change_confirmer": "manager1",
            "kijun_change_impact": "the host's clock is not followed for a moment",
            "kijun_change_dangers": "the time service may not start again",
            "kijun_change_way_back": "taken back by itself",
            "kijun_change_playbook": str(self._bad),
        }
        return self._fails("change", "--limit", HOST, "-e", json.dumps(said), ANSIBLE_INVENTORY=INVENTORY)
