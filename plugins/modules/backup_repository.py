#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a host's repository at the backup server, and its keys where they are needed when the host is lost."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Have a host's repository at the backup server, and its keys in escrow
version_added: "0.5.0"
description:
  - Makes the repository that C(/etc/kijun/backup.json) names, where there is none, with the host's password.
  - Gives the backup server a key of its own, by which it removes what is old enough. That key is made on the host,
    and leaves it encrypted for the server alone.
  - Encrypts the host's password for the people who may open it when the host is lost, age(1).
  - Both are made anew when those who can read them are others than before, and the server's earlier key is then taken
    out of the repository by the server's next pruning, not from here - clients delete nothing.
  - Nothing secret is in the result.
options:
  server_recipient:
    description: The backup server's public key, age(1); empty in check mode, before there is one.
    type: str
    required: true
  escrow_recipients:
    description: Public keys of those who may read the host's password, age(1) or SSH.
    type: list
    elements: str
    default: []
  folder:
    description: Where the host's keys are.
    type: path
    default: /etc/kijun/backup
  settings:
    description: The file that names the repository.
    type: path
    default: /etc/kijun/backup.json
attributes:
  check_mode:
    description: Says what would be made.
    support: full
  diff_mode:
    description: Shows what is made; never a key.
    support: full
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.backup_keys
"""

EXAMPLES = r"""
- name: Have a repository
  kijun.baseline.backup_repository:
    server_recipient: age1...
    escrow_recipients: [age1..., ssh-ed25519 AAAA...]
"""

RETURN = r"""
done:
  description: What was, or in check mode would be, done.
  returned: success
  type: list
  elements: str
  sample: [repository, server_key, escrow]
server_key:
  description: The server's key, encrypted for it; empty when there is none yet.
  returned: success
  type: str
escrow:
  description: The host's password, encrypted for the people named; empty when nobody is.
  returned: success
  type: str
"""

import json
import os
import secrets
import subprocess
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.backup.history import read_json, write
from ..module_utils.backup.restic import BackupError, RepositoryAbsent, Restic


def encrypted(content: bytes, recipients: list[str]) -> str:
    """A text for some readers alone, as age(1) writes it in ASCII.

    Raises:
        BackupError: a recipient is none.
    """
    command = ["age", "-a", "-e"]
    for recipient in recipients:
        command += ["-r", recipient]
    done = subprocess.run(command, input=content, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise BackupError("the key cannot be encrypted: %s" % done.stderr.decode("utf-8", "replace").strip()[-200:])
    return done.stdout.decode("ascii")


class Enrolment:
    """A host's keys, as they are and as they are to be.

    Args:
        module: the task.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self.folder = module.params["folder"]
        self.server = module.params["server_recipient"]
        self.people = sorted(set(module.params["escrow_recipients"]))
        self.settings = module.params["settings"]

    def noted(self, name: str) -> dict[str, object]:
        """What was encrypted, and for whom."""
        try:
            return dict(read_json(os.path.join(self.folder, name)))
        except (OSError, ValueError):
            return {}

    def is_made(self) -> bool:
        """Whether the repository was made, or found, from here."""
        return os.path.exists(os.path.join(self.folder, "repository"))

    def due(self) -> list[str]:
        """What is to be done."""
        found = [] if self.is_made() else ["repository"]
        if self.noted("server.json").get("for") != [self.server]:
            found.append("server_key")
        if self.people and self.noted("escrow.json").get("for") != self.people:
            found.append("escrow")
        return found

    def bring_about(self, due: list[str]) -> None:
        """Do it.

        Raises:
            BackupError: something cannot be done.
        """
        restic = Restic.of_host(self.settings, seconds=300)
        if "repository" in due:
            try:
                restic.run("cat", "config", "--no-lock")
            except RepositoryAbsent:
                restic.init()
            write(os.path.join(self.folder, "repository"), "made\n")
        if "server_key" in due:
            password = secrets.token_hex(32).encode()
            with tempfile.TemporaryDirectory(dir="/run") as place:
                path = os.path.join(place, "key")
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(password)
                restic.run("key", "add", "--new-password-file", path)
            self.note("server.json", password, [self.server])
        if "escrow" in due:
            with open(os.path.join(self.folder, "password"), "rb") as file:
                self.note("escrow.json", file.read(), self.people)

    def note(self, name: str, content: bytes, readers: list[str]) -> None:
        """Keep what was encrypted, so that it can be handed over once more."""
        about = {"for": readers, "content": encrypted(content, readers)}
        write(os.path.join(self.folder, name), json.dumps(about) + "\n")


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "server_recipient": {"type": "str", "required": True},
            "escrow_recipients": {"type": "list", "elements": "str", "default": []},
            "folder": {"type": "path", "default": "/etc/kijun/backup"},
            "settings": {"type": "path", "default": "/etc/kijun/backup.json"},
        },
        supports_check_mode=True,
    )
    enrolment = Enrolment(module)
    due = enrolment.due()
    try:
        if due and not module.check_mode:
            enrolment.bring_about(due)
    except (BackupError, OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(due),
        done=due,
        server_key=str(enrolment.noted("server.json").get("content", "")),
        escrow=str(enrolment.noted("escrow.json").get("content", "")) if enrolment.people else "",
        diff={"before": "", "after": "".join("%s\n" % one for one in due)},
    )


if __name__ == "__main__":
    main()
