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
  - Both are made anew when those who can read them are others than before. A key that the server had before stays in
    the repository, since clients delete nothing.
  - Nothing secret is in the result.
options:
  server_recipient:
    description: The backup server's public key, age(1).
    type: str
    required: true
  escrow_recipients:
    description: Public keys of those who may read the host's password, age(1) or SSH.
    type: list
    elements: str
    default: []
  escrow_host:
    description: The host that the password is kept on for them. It is only handed on, also before there are settings.
    type: str
    default: ""
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
server:
  description: The backup server, by its name in the inventory.
  returned: success
  type: str
escrow_host:
  description: The host that the password is kept on for these people.
  returned: success
  type: str
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
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.backup.history import read_json, write
from ..module_utils.backup.restic import BackupError, RepositoryAbsent, Restic

LATER = "(made by the run)\n"
NOTES = {"server_key": "server.json", "escrow": "escrow.json"}


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

    def noted(self, name: str) -> dict[str, Any]:
        """What was encrypted, and for whom."""
        try:
            return dict(read_json(os.path.join(self.folder, name)))
        except (OSError, ValueError):
            return {}

    def about(self) -> dict[str, Any]:
        """The host's settings; empty in check mode, before there are any."""
        try:
            return dict(read_json(self.settings))
        except (OSError, ValueError):
            return {}

    def place(self) -> str:
        """Where the repository is, in one line."""
        about = self.about().get("repository", {})
        return "%s %s" % (about.get("repository"), about.get("options", {}).get("rclone.program"))

    def is_made(self) -> bool:
        """Whether the repository was made, or found, from here."""
        return self.noted("repository.json").get("place") == self.place()

    def due(self) -> list[str]:
        """What is to be done."""
        found = [] if self.is_made() else ["repository"]
        if "repository" in found or self.noted("server.json").get("for") != [self.server]:
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
            write(os.path.join(self.folder, "repository.json"), json.dumps({"place": self.place()}) + "\n")
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
            "escrow_host": {"type": "str", "default": ""},
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
    about = enrolment.about()
    contents = {name: str(enrolment.noted(file).get("content", "")) for name, file in NOTES.items()}
    if module.check_mode:
        contents.update({name: LATER for name in NOTES if name in due})
    module.exit_json(
        changed=bool(due),
        done=due,
        server=str(about.get("server", "")),
        escrow_host=module.params["escrow_host"],
        server_key=contents["server_key"],
        escrow=contents["escrow"] if enrolment.people else "",
        diff={"before": "", "after": "".join("%s\n" % one for one in due)},
    )


if __name__ == "__main__":
    main()
