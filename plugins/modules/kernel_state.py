#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the running kernel to its settings, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_state
short_description: Bring the running kernel to its settings, and modules out of it
version_added: "0.3.0"
description:
  - Writes the settings that differ, in the order given; nothing is written for those that a file of C(/etc/sysctl.d)
    is to set at boot. Network settings can cut access, so they are changed under the guard
    (M(kijun.baseline.guard)).
  - Takes modules out of the kernel that nothing uses.
  - Never restarts the host. What takes a restart is told in C(after_reboot), and as a warning.
options:
  settings:
    description:
      - Settings by name, sysctl(8). C(*) in a name stands for every network interface. A setting that this kernel does
        not have is left out, and told in C(absent).
    type: dict
    default: {}
  unloaded:
    description: Modules that are not to be in the kernel, with underscores. One in use stays, until a restart.
    type: list
    elements: str
    default: []
  boot_menu:
    description:
      - Where GRUB has a menu, have it made anew (C(update-grub)) when what it is made of changed since, and let only
        root read it.
    type: bool
    default: false
  changed_files:
    description: Files that an earlier step of the run changed, or in check mode would have changed.
    type: list
    elements: path
    default: []
  guard:
    description: The run and the seconds of the guard. Filled in by the controller's part of this step; leave it out.
    type: dict
    suboptions:
      run: {description: Id of the run., type: str}
      seconds: {description: How long the change may stay unconfirmed., type: int}
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the settings before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Bring the running kernel to its settings
  kijun.baseline.kernel_state:
    settings:
      kernel.kptr_restrict: 2
      net.ipv4.conf.*.accept_redirects: 0
    unloaded: [dccp, sctp]
"""

RETURN = r"""
set:
  description: Settings that were, or in check mode would be, changed, with the value before and after.
  returned: success
  type: dict
  sample: {kernel.kptr_restrict: [0, 2]}
absent:
  description: Settings that this kernel does not have.
  returned: success
  type: list
  elements: str
  sample: []
unloaded:
  description: Modules that were taken out.
  returned: success
  type: list
  elements: str
  sample: []
boot_menu:
  description: Whether the boot menu was made anew, or its mode set.
  returned: success
  type: bool
  sample: false
after_reboot:
  description: What takes a restart of the host.
  returned: success
  type: list
  elements: str
  sample: [the module firewire_core is in use]
"""

import os
import shutil
import stat
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import PATH, Host
from ..module_utils.facts.kernel import BOOT_MENU, SYSCTL, paths_of, value_of
from ..module_utils.guard import Guard, GuardError

STUCK = {
    "/proc/sys/kernel/kexec_load_disabled": (1,),
    "/proc/sys/kernel/modules_disabled": (1,),
    "/proc/sys/kernel/unprivileged_bpf_disabled": (1,),
    "/proc/sys/kernel/yama/ptrace_scope": (3,),
}
"""Settings that keep such a value until the next start; Documentation/admin-guide/sysctl/kernel.rst, LSM/Yama.rst."""

MENU_SOURCES = ("/etc/default/grub", "/etc/default/grub.d", "/etc/grub.d")
"""What update-grub(8) makes the menu from; of a directory, its files."""

NETWORK = SYSCTL + "/net/"
STATE = {
    # What cannot be read or written any more is skipped: an interface may have gone.
    "save": ["sh", "-c", "sysctl -e -a -r '^net[.]ipv[46][.]' 2>/dev/null"],
    "load": ["sh", "-c", "sysctl -e -q -p - 2>/dev/null || true"],
}
"""How the guard keeps network settings."""


class Change:
    """A setting that differs.

    Args:
        path: below /proc/sys.
        before: its value.
        after: the wished one.
    """

    def __init__(self, path: str, before: int | str, after: int | str) -> None:
        self.path, self.before, self.after = path, before, after

    @property
    def name(self) -> str:
        """The setting's name, sysctl(8)."""
        return self.path[len(SYSCTL) + 1 :].translate(str.maketrans("./", "/."))

    @property
    def is_stuck(self) -> bool:
        """Whether only a restart brings it about."""
        return self.before in STUCK.get(self.path, ())


def compare(host: Host, settings: dict[str, Any]) -> tuple[list[Change], list[str]]:
    """The settings that differ, in order, and the names of those that the kernel does not have."""
    changes, absent = [], []
    for name, wish in settings.items():
        paths = paths_of(host, name)
        if not paths:
            absent.append(name)
        for path in paths:
            before, after = value_of(host.read(path)), value_of(str(wish))
            if before != after:
                changes.append(Change(path, before, after))
    return changes, absent


def write(changes: list[Change]) -> list[str]:
    """Write settings, and give the complaints of those that the kernel refuses."""
    refused = []
    for change in changes:
        try:
            with open(change.path, "w", encoding="utf-8") as file:
                file.write("%s\n" % change.after)
        except OSError as error:
            refused.append("%s = %s: %s" % (change.name, change.after, error.strerror))
    return refused


def loaded(host: Host, names: list[str]) -> dict[str, bool]:
    """Those of some modules that are in the kernel, and whether something uses them."""
    found = {}
    for line in host.read_if_there("/proc/modules").splitlines():
        name, _, users, holders = line.split()[:4]
        if name in names:
            found[name] = users != "0" or holders != "-"
    return found


def unload(names: list[str]) -> list[str]:
    """Take modules out of the kernel, and give those that stayed."""
    stayed = []
    for name in names:
        done = subprocess.run(
            ["rmmod", "--", name], env={"PATH": PATH}, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            stayed.append(name)
    return stayed


def has_menu() -> bool:
    """Whether GRUB starts this host by a menu that is made from files."""
    return os.path.exists(BOOT_MENU) and shutil.which("update-grub", path=PATH) is not None


def outdated(changed_files: list[str]) -> bool:
    """Whether what the menu is made of changed since."""
    made = os.stat(BOOT_MENU).st_mtime
    for source in MENU_SOURCES:
        files = [os.path.join(source, name) for name in os.listdir(source)] if os.path.isdir(source) else [source]
        # The directory too: its time tells of a file that went.
        for path in [*files, source]:
            if path in changed_files or (os.path.exists(path) and os.stat(path).st_mtime > made):
                return True
    return any(os.path.dirname(path) in MENU_SOURCES for path in changed_files)


def is_closed() -> bool:
    """Whether only root can read the menu."""
    state = os.stat(BOOT_MENU)
    return (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (0, 0, 0o600)


def make_menu(module: AnsibleModule, is_outdated: bool) -> None:
    """Make the menu anew, and close it."""
    if is_outdated:
        done = subprocess.run(
            ["update-grub"],
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            module.fail_json(msg="update-grub: %s" % done.stderr.strip()[-500:])
    os.chown(BOOT_MENU, 0, 0)
    os.chmod(BOOT_MENU, 0o600)


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "unloaded": {"type": "list", "elements": "str", "default": []},
            "boot_menu": {"type": "bool", "default": False},
            "changed_files": {"type": "list", "elements": "path", "default": []},
            "guard": {"type": "dict", "options": {"run": {"type": "str"}, "seconds": {"type": "int"}}},
        },
        supports_check_mode=True,
    )
    host, guard, asked = Host(), module.params["guard"], module.params
    changes, absent = compare(host, asked["settings"])
    stuck = [change for change in changes if change.is_stuck]
    changes = [change for change in changes if not change.is_stuck]
    modules = loaded(host, asked["unloaded"])
    idle = sorted(name for name, used in modules.items() if not used)
    with_menu = asked["boot_menu"] and has_menu()
    is_outdated = with_menu and outdated(asked["changed_files"])
    menu_changes = with_menu and (is_outdated or not is_closed())

    armed = bool(guard and not module.check_mode and any(change.path.startswith(NETWORK) for change in changes))
    stayed: list[str] = []
    if not module.check_mode:
        try:
            if armed:
                Guard().arm({**guard, "state": [STATE]})
        except GuardError as error:
            module.fail_json(msg=str(error))
        # Twice, as one setting may set another anew: turning forwarding off does.
        refused = write(changes) or write([c for c in compare(host, asked["settings"])[0] if not c.is_stuck])
        if refused:
            module.fail_json(msg="the kernel refuses %s" % "; ".join(refused), guard_armed=armed)
        stayed = unload(idle)
        if menu_changes:
            make_menu(module, is_outdated)
    after_reboot = ["%s stays %s until then" % (change.name, change.before) for change in stuck]
    after_reboot += ["the module %s is in use" % name for name in sorted({*modules} - {*idle} | {*stayed})]
    if after_reboot:
        module.warn("a restart of the host is needed, and left to you: %s" % "; ".join(after_reboot))
    gone = [name for name in idle if name not in stayed]
    lines = ["%s = %s\n" % (change.name, change.before) for change in changes]
    module.exit_json(
        changed=bool(changes or gone or menu_changes),
        set={change.name: [change.before, change.after] for change in changes},
        absent=absent,
        unloaded=gone,
        boot_menu=bool(menu_changes),
        after_reboot=after_reboot,
        guard_armed=armed,
        diff={
            "before": "".join(lines + ["module %s\n" % name for name in gone]),
            "after": "".join("%s = %s\n" % (change.name, change.after) for change in changes),
        },
    )


if __name__ == "__main__":
    main()
