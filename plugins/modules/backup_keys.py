#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the keys that a host needs for backups, once, and tell their public parts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_keys
short_description: Make the keys that a host needs for backups, and tell their public parts
version_added: "0.5.0"
description:
  - Makes what is not there yet, readable by root alone. What is there is never replaced.
  - Nothing secret is in the result. In check mode, before there is a key, its public part is V((made by the run)).
options:
  folder:
    description: Where the keys are.
    type: path
    default: /etc/kijun/backup
  wanted:
    description:
      - V(ssh) is the key that a client logs in with at the backup server, C(id_ed25519).
      - V(password) is the repository's password, C(password), 256 bits at random.
      - V(identity) is what a backup server reads keys of repositories with that were encrypted for it, C(identity),
        age(1).
      - V(copy) is the SSH key that a backup server logs in with where the second copy is, C(copy_ed25519).
    type: list
    elements: str
    choices: [ssh, password, identity, copy]
    required: true
attributes:
  check_mode:
    description: Says which keys would be made.
    support: full
  diff_mode:
    description: Shows which keys are made; never a key.
    support: full
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.backup_repository
"""

EXAMPLES = r"""
- name: Have a key to log in with, and a password
  kijun.baseline.backup_keys:
    wanted: [ssh, password]
"""

RETURN = r"""
made:
  description: Keys that were, or in check mode would be, made.
  returned: success
  type: list
  elements: str
  sample: [ssh, password]
public:
  description:
    - Public parts of the keys, V(ssh), V(copy) and V(identity), and V(host), the host's own SSH key.
  returned: success
  type: dict
  sample: {ssh: ssh-ed25519 AAAA..., host: ssh-ed25519 AAAA...}
"""

import os
import secrets
import subprocess

from ansible.module_utils.basic import AnsibleModule

FILES = {"ssh": "id_ed25519", "password": "password", "identity": "identity", "copy": "copy_ed25519"}
LATER = "(made by the run)"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def run(*command: str, stdin: bytes = b"") -> str:
    """Run a program that must succeed, and return its output.

    Raises:
        subprocess.CalledProcessError: it does not.
    """
    done = subprocess.run(command, input=stdin, check=True, capture_output=True, timeout=60)
    return done.stdout.decode()


def make(kind: str, path: str) -> None:
    """Make a key where there is none."""
    new = path + ".part"
    for left_over in (new, new + ".pub"):
        if os.path.exists(left_over):
            os.unlink(left_over)
    if kind in ("ssh", "copy"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kijun-backup", "-f", new)
        os.replace(new + ".pub", path + ".pub")
    elif kind == "identity":
        run("age-keygen", "-o", new)
        os.chmod(new, 0o600)
    else:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    os.replace(new, path)


def public_part(kind: str, path: str) -> str:
    """What others may know of a key; empty when there is none."""
    if kind == "password" or not os.path.exists(path):
        return ""
    if kind == "identity":
        return run("age-keygen", "-y", path).strip()
    # From the key itself: the file beside it may be another one's.
    return " ".join(run("ssh-keygen", "-y", "-f", path).split()[:2])


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "default": "/etc/kijun/backup"},
            "wanted": {"type": "list", "elements": "str", "choices": list(FILES), "required": True},
        },
        supports_check_mode=True,
    )
    folder = module.params["folder"]
    made = [kind for kind in module.params["wanted"] if not os.path.exists(os.path.join(folder, FILES[kind]))]
    try:
        if made and not module.check_mode:
            os.makedirs(folder, exist_ok=True)
            # sshd reads who may log in from a folder below it, with the rights of the account.
            os.chmod(folder, 0o711 if "identity" in module.params["wanted"] else 0o700)
            for kind in made:
                make(kind, os.path.join(folder, FILES[kind]))
        public = {kind: public_part(kind, os.path.join(folder, FILES[kind])) for kind in module.params["wanted"]}
        if module.check_mode:
            public.update(dict.fromkeys(made, LATER))
        public.pop("password", None)
        public["host"] = ""
        if os.path.exists(HOST_KEY):
            with open(HOST_KEY, encoding="ascii") as file:
                public["host"] = " ".join(file.read().split()[:2])
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg="keys for backups cannot be made: %s" % error)
    module.exit_json(
        changed=bool(made),
        made=made,
        public=public,
        diff={"before": "", "after": "".join("%s\n" % FILES[kind] for kind in made), "before_header": folder},
    )


if __name__ == "__main__":
    main()
