#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have file systems mounted with certain options, now and at boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mount_options
short_description: Have file systems mounted with certain options, now and at boot
version_added: "0.3.0"
description:
  - Adds options to the lines that fstab(5) has for some mount points, and mounts again, with them, what is mounted
    without. Options that say the opposite (V(exec) where V(noexec) is asked) are taken out. Other options stay.
  - A path that is no file system of its own is passed over, unless O(mounts[].tmpfs) makes it one.
  - What a changed fstab was before is kept as P(kijun.baseline.config_files#module) keeps it.
options:
  mounts:
    description: The mount points.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is mounted.
        type: path
        required: true
      options:
        description: Options that it must have.
        type: list
        elements: str
        required: true
      tmpfs:
        description:
          - Options of the tmpfs(5) that fstab(5) gets a line for when it has none for this path, and when no other kind
            of file system is mounted there.
          - It is not mounted over what lies there now, but at the next boot.
        type: list
        elements: str
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows fstab(5) before and after, and what is mounted again.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Nothing runs from where everybody writes
  kijun.baseline.mount_options:
    mounts:
      - {path: /dev/shm, options: [nodev, nosuid, noexec], tmpfs: [mode=1777]}
      - {path: /var/tmp, options: [nodev, nosuid, noexec]}
"""

RETURN = r"""
fstab:
  description: Mount points whose line in fstab(5) was, or in check mode would be, changed or added.
  returned: success
  type: list
  elements: str
  sample: [/dev/shm]
remounted:
  description: Mount points that were, or in check mode would be, mounted again, with the options that they lacked.
  returned: success
  type: dict
  sample: {/var/tmp: [noexec]}
at_boot:
  description: Mount points that fstab(5) has and that are mounted at the next boot only.
  returned: success
  type: list
  elements: str
  sample: [/tmp]
"""

import os
import re
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import Host
from ..module_utils.facts.mounts import mounted, unescaped
from ..module_utils.file_diff import diff_of
from ..module_utils.file_state import FileTransactionError
from ..module_utils.file_transaction import FileTransaction

FSTAB = "/etc/fstab"
GENERATIONS = 5
"""Earlier versions that are kept, of all roles together; as P(kijun.baseline.config_files#module) has it."""


def opposite(option: str) -> str:
    """The option of mount(8) that says the contrary."""
    return option[2:] if option.startswith("no") else "no" + option


def with_options(present: list[str], wanted: list[str]) -> list[str]:
    """Options with those wanted, and without their contraries."""
    kept = [option for option in present if option not in [opposite(name) for name in wanted]]
    return [*kept, *(name for name in wanted if name not in kept)]


def with_lines(text: str, wishes: list[dict[str, Any]], now: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """Bring fstab(5) to what is wished.

    Args:
        text: the file.
        wishes: see the module's option ``mounts``.
        now: what is mounted, by mount point.

    Returns:
        The file as it should be, and the mount points whose line changed.
    """
    changed: list[str] = []
    seen, lines = set(), []
    by_path = {wish["path"]: wish for wish in wishes}
    for line in text.splitlines():
        fields = re.split(r"(\s+)", line.strip())
        path = unescaped(fields[2]) if len(fields) >= 7 and not line.lstrip().startswith("#") else None
        if path is not None and path in by_path:
            seen.add(path)
            options = with_options(fields[6].split(","), by_path[path]["options"])
            if options != fields[6].split(","):
                fields[6] = ",".join(options)
                line = "".join(fields)
                changed.append(path)
        lines.append(line)
    for path, wish in by_path.items():
        of_another_kind = path in now and now[path]["type"] != "tmpfs"
        if wish["tmpfs"] is not None and path not in seen and not of_another_kind:
            lines.append("tmpfs %s tmpfs %s 0 0" % (path, ",".join(with_options(wish["tmpfs"], wish["options"]))))
            changed.append(path)
    return "".join("%s\n" % line for line in lines), changed


def lacking(wishes: list[dict[str, Any]], now: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Mount point -> options that it lacks as it is mounted now."""
    found = {
        w["path"]: [o for o in w["options"] if o not in now[w["path"]]["options"]] for w in wishes if w["path"] in now
    }
    return {path: options for path, options in found.items() if options}


def mount_again(module: AnsibleModule, path: str, options: list[str]) -> None:
    """Mount a file system again with all options that it must have."""
    done = subprocess.run(
        ["mount", "-o", "remount," + ",".join(options), path],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        module.fail_json(
            msg="mount -o remount,%s %s: %s; fstab has the options from the next boot on"
            % (",".join(options), path, done.stderr.strip())
        )


def write_fstab(module: AnsibleModule, text: str) -> list[dict[str, str]]:
    """Put the file in place; give its difference."""
    unset = dict.fromkeys(("settings", "separator", "owner", "group", "validate"))
    wish = {**unset, "path": FSTAB, "state": "file", "content": text.encode(), "mode": "0644", "secret": False}
    try:
        outcome = FileTransaction().run(
            files=[wish],
            generators=[],
            validators=[],
            scratch=[],
            keep_generations=GENERATIONS,
            check=module.check_mode,
        )
    except FileTransactionError as error:
        module.fail_json(msg=str(error))
    return [part for change in outcome.changes for part in diff_of(change)]


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "mounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "options": {"type": "list", "elements": "str", "required": True},
                    "tmpfs": {"type": "list", "elements": "str"},
                },
            }
        },
        supports_check_mode=True,
    )
    os.umask(0o077)
    wishes = module.params["mounts"]
    host = Host()
    now = mounted(host)
    text, changed = with_lines(host.read_if_there(FSTAB), wishes, now)
    again = lacking(wishes, now)
    diff = write_fstab(module, text) if changed else []
    if again:
        diff.append(
            {"before": "", "after": "".join("mount again %s: %s\n" % (p, ",".join(o)) for p, o in again.items())}
        )
    if not module.check_mode:
        if changed:
            subprocess.run(["systemctl", "daemon-reload"], stdin=subprocess.DEVNULL, check=False)
        for path in again:
            mount_again(module, path, next(wish["options"] for wish in wishes if wish["path"] == path))
    module.exit_json(
        changed=bool(changed or again),
        fstab=changed,
        remounted=again,
        at_boot=[wish["path"] for wish in wishes if wish["tmpfs"] is not None and wish["path"] not in now],
        diff=diff,
    )


if __name__ == "__main__":
    main()
