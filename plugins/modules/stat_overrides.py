#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give files of packages other owners and modes than their packages do, so that upgrades keep them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stat_overrides
short_description: Give files of packages other owners and modes, in a way that upgrades keep
version_added: "0.3.0"
description:
  - Enters owner, group and mode of files into dpkg's own list, dpkg-statoverride(1), and sets them. A package that is
    upgraded or installed anew keeps to that list, whereas a mere C(chmod) would be undone.
  - Reads dpkg's list and the files once, and calls dpkg-statoverride only for what differs.
  - What an earlier run of the same set entered and is asked for no more is taken back. The file gets the owner and mode
    that it had, and dpkg's list the entry that it had. What was before is kept in
    C(/var/lib/kijun/stat_overrides.json).
  - Links are followed to the file. Under a merged C(/usr) the file is entered by the name that its package has for it,
    since dpkg heeds no other.
options:
  sets:
    description: What is set. Sets that are not named here are left as they are.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name by which a later run knows what this one entered.
        type: str
        required: true
      paths:
        description:
          - Absolute paths, in which V(*) stands for any characters, and classes of utility programs (V(compilers),
            V(debuggers), V(network), V(mounting), V(system)). What is not on the host is passed over.
        type: list
        elements: str
        required: true
      excluded:
        description: Paths that are left out.
        type: list
        elements: str
        default: []
      owner:
        description: Name of the owner; left as it is when not given.
        type: str
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description:
          - Octal mode in quotes. When not given, each file keeps what its owner may do, set-user-id included; the group
            may read and run it, and others nothing.
        type: str
      directories:
        description:
          - Whether O(sets[].paths), without patterns and classes, are directories that are made where they are missing,
            so that a package which brings one later finds it closed. Needs O(sets[].mode).
        type: bool
        default: false
  groups:
    description: System groups that must exist; they are made before anything is given to them.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what a run would change.
    support: full
  diff_mode:
    description: Shows owner, group and mode before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Compilers are for administrators
  kijun.baseline.stat_overrides:
    groups: [builders]
    sets:
      - name: compilers
        paths: [compilers, /usr/local/bin/cc]
        group: builders
      - name: cron
        paths: [/etc/cron.d, /etc/cron.daily]
        mode: "0700"
        directories: true
"""

RETURN = r"""
overrides:
  description:
    - Files that were, or in check mode would be, changed, with their owner, group and mode; V(taken back) for what is
      asked for no more.
  returned: success
  type: dict
  sample: {/usr/bin/strace: root root 0750}
groups:
  description: Groups that were, or in check mode would be, made.
  returned: success
  type: list
  elements: str
  sample: [builders]
"""

import grp
import json
import os
import pwd
import re
import stat
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import Host, lines
from ..module_utils.facts.utilities import NEEDED, resolve

Json = dict[str, Any]

OVERRIDES = "/var/lib/dpkg/statoverride"
PACKAGED = "/var/lib/dpkg/info"
RECORD = "/var/lib/kijun/stat_overrides.json"
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

USR = re.compile(r"/usr(/(?:s?bin|lib\w*)/.*)")
"""Paths that have a second name under a merged /usr."""


class Refused(Exception):
    """What is asked for cannot be; nothing was changed."""


def user_name(uid: int) -> str:
    """An owner as dpkg-statoverride(1) takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "#%d" % uid


def group_name(gid: int) -> str:
    """A group as dpkg-statoverride(1) takes it."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return "#%d" % gid


def attributes(path: str) -> str:
    """A file's ``owner group mode``, as dpkg's list writes them."""
    info = os.stat(path)
    return "%s %s %04o" % (user_name(info.st_uid), group_name(info.st_gid), stat.S_IMODE(info.st_mode))


def entered() -> dict[str, str]:
    """Path -> ``owner group mode``, of dpkg's list."""
    found = {}
    for line in lines(Host().read_if_there(OVERRIDES)):
        parts = line.split(" ", 3)
        if len(parts) == 4:
            found[parts[3]] = "%s %s %04o" % (parts[0], parts[1], int(parts[2], 8))
    return found


def names_of(path: str) -> list[str]:
    """The names that dpkg may know a file by."""
    second = USR.fullmatch(path)
    if second and os.path.realpath(os.path.dirname(second.group(1))) == os.path.dirname(path):
        return [path, second.group(1)]
    return [path]


def packaged_names(paths: list[str]) -> dict[str, str]:
    """Path -> the name that its package has for it; the path itself where no package has it."""
    by_name = {name: path for path in paths for name in names_of(path)}
    found = {path: path for path in paths}
    for entry in os.scandir(PACKAGED):
        if entry.name.endswith(".list"):
            with open(entry.path, encoding="utf-8", errors="replace") as file:
                for name in by_name.keys() & set(file.read().splitlines()):
                    found[by_name[name]] = name
    return found


def wanted_attributes(path: str, rule: Json) -> str:
    """What a file is to be: ``owner group mode``.

    Raises:
        Refused: somebody needs it, or it could not do its work any more.
    """
    info = os.stat(path)
    mode = stat.S_IMODE(info.st_mode)
    if NEEDED.fullmatch(path):
        raise Refused("%s is needed for logging in and becoming root; it cannot be restricted" % path)
    if rule["mode"] is not None:
        mode = int(rule["mode"], 8)
    else:
        if mode & stat.S_ISGID and group_name(info.st_gid) != rule["group"]:
            raise Refused(
                "%s works as group %s (set-group-id), and would not as %s; leave it out, or give it a mode"
                % (path, group_name(info.st_gid), rule["group"])
            )
        mode = mode & 0o6700 | (mode & 0o500) >> 3
    return "%s %s %04o" % (rule["owner"] or user_name(info.st_uid), rule["group"], mode)


def wishes(sets: list[Json]) -> dict[str, tuple[str, str]]:
    """Path -> set and what it is to be.

    Raises:
        Refused: as `wanted_attributes`; or two sets want different things of one file.
    """
    found: dict[str, tuple[str, str]] = {}
    for rule in sets:
        try:
            paths = resolve(Host(), rule["paths"], rule["excluded"])
        except ValueError as error:
            raise Refused("set %s: %s" % (rule["name"], error)) from None
        for path in paths:
            wanted = wanted_attributes(path, rule)
            if found.setdefault(path, (rule["name"], wanted))[1] != wanted:
                raise Refused("%s: set %s wants %s and set %s wants %s" % (path, *found[path], rule["name"], wanted))
    return found


def read_record() -> dict[str, Json]:
    """What earlier runs entered: path -> set, name, before (``owner group mode``), override (the same, or None).

    Raises:
        Refused: the record is damaged.
    """
    try:
        return json.loads(Host().read_if_there(RECORD) or "{}")
    except ValueError as error:
        raise Refused("%s: %s; restore or remove it" % (RECORD, error)) from None


def write_record(record: dict[str, Json]) -> None:
    """Write it, whole or not at all."""
    os.makedirs(os.path.dirname(RECORD), mode=0o700, exist_ok=True)
    temporary = RECORD + ".new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, RECORD)


def run(module: AnsibleModule, *command: str) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        module.fail_json(msg="%s: %s" % (" ".join(command), done.stderr.strip()))


def enter(module: AnsibleModule, name: str, wanted: str) -> None:
    """Enter a file into dpkg's list in place of what is there, and set it."""
    user, group, mode = wanted.split(" ")
    run(module, "dpkg-statoverride", "--force-statoverride-add", "--update", "--add", user, group, mode, name)


def strike(module: AnsibleModule, name: str) -> None:
    """Take a file off dpkg's list, if it is there."""
    run(module, "dpkg-statoverride", "--force-statoverride-remove", "--remove", name)


def take_back(module: AnsibleModule, path: str, entry: Json, now: dict[str, str]) -> None:
    """Make a file what it was before it was entered.

    Args:
        module: the module.
        path: the file.
        entry: its record.
        now: dpkg's list.
    """
    if entry["override"] is not None:
        enter(module, entry["name"], entry["override"])
        return
    if entry["name"] in now:
        strike(module, entry["name"])
    if os.path.exists(path):
        user, group, mode = entry["before"].split(" ")
        run(module, "chown", "%s:%s" % (user.lstrip("#"), group.lstrip("#")), path)
        os.chmod(path, int(mode, 8))


def check(arguments: Json) -> None:
    """Check what the task gives beyond its types.

    Raises:
        Refused: names the option, its value and what is allowed.
    """
    for rule in arguments["sets"]:
        if rule["directories"] and rule["mode"] is None:
            raise Refused("set %s: directories that are made need a mode" % rule["name"])
        if rule["mode"] is not None and not re.fullmatch(r"0?[0-7]{3,4}", rule["mode"]):
            raise Refused("set %s: mode: %r; three or four octal digits in quotes" % (rule["name"], rule["mode"]))
    for group in arguments["groups"]:
        if not NAME.fullmatch(group):
            raise Refused("groups: %r; small letters, digits, hyphens and underscores, at most 31" % group)
    known = {entry.gr_name for entry in grp.getgrall()} | set(arguments["groups"])
    for rule in arguments["sets"]:
        # dpkg refuses to work at all once its list names a group that is not there.
        if rule["group"] not in known:
            raise Refused("set %s: there is no group %s on this host" % (rule["name"], rule["group"]))
        if rule["owner"] is not None and rule["owner"] not in {entry.pw_name for entry in pwd.getpwall()}:
            raise Refused("set %s: there is no user %s on this host" % (rule["name"], rule["owner"]))


def missing_directories(sets: list[Json]) -> dict[str, str]:
    """Path -> ``owner group mode`` of the directories that are to be made."""
    return {
        path: "%s %s %04o" % (rule["owner"] or "root", rule["group"], int(rule["mode"], 8))
        for rule in sets
        if rule["directories"]
        for path in rule["paths"]
        if not os.path.lexists(path)
    }


def apply(
    module: AnsibleModule, record: dict[str, Json], differing: dict[str, tuple[str, str]], gone: dict[str, Json]
) -> None:
    """Bring files and dpkg's list to what is wanted."""
    now = entered()
    names = packaged_names(list(differing)) if differing else {}
    for path, (name, _) in differing.items():
        # Kept before anything is changed, so that a run that is killed leaves a way back.
        before = record.get(path) or {"before": attributes(path), "override": now.get(names[path])}
        record[path] = {**before, "set": name, "name": names[path]}
    if differing:
        write_record(record)
    for path, (_, wanted) in differing.items():
        for other in names_of(path):
            if other != names[path] and other in now:
                strike(module, other)
        enter(module, names[path], wanted)
    for path, entry in gone.items():
        take_back(module, path, entry, now)
        del record[path]
    if gone:
        write_record(record)


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "sets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "paths": {"type": "list", "elements": "str", "required": True},
                    "excluded": {"type": "list", "elements": "str", "default": []},
                    "owner": {"type": "str"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str"},
                    "directories": {"type": "bool", "default": False},
                },
            },
            "groups": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    try:
        check(arguments)
        made = missing_directories(arguments["sets"])
        if not module.check_mode:
            for path in made:
                os.mkdir(path, 0o700)
        wanted = wishes(arguments["sets"])
        record = read_record()
    except Refused as error:
        module.fail_json(msg="%s; nothing was changed" % error)
    there = {entry.gr_name for entry in grp.getgrall()}
    groups = [name for name in arguments["groups"] if name not in there]
    now = entered()
    differing = {
        path: wish
        for path, wish in wanted.items()
        if attributes(path) != wish[1] or all(now.get(name) != wish[1] for name in names_of(path))
    }
    ours = {rule["name"] for rule in arguments["sets"]}
    gone = {path: entry for path, entry in record.items() if entry["set"] in ours and path not in wanted}
    told = {**made, **{path: wish[1] for path, wish in differing.items()}}
    lines_before = ["%s %s\n" % (path, attributes(path)) for path in differing if path not in made]
    if not module.check_mode:
        for name in groups:
            run(module, "groupadd", "--system", name)
        apply(module, record, differing, gone)
    module.exit_json(
        changed=bool(groups or told or gone),
        overrides={**told, **dict.fromkeys(gone, "taken back")},
        groups=groups,
        diff={
            "before": "".join(lines_before + ["%s restricted\n" % path for path in gone]),
            "after": "".join(
                ["group %s made\n" % name for name in groups]
                + ["%s %s\n" % (path, wish) for path, wish in told.items()]
                + ["%s %s\n" % (path, entry["override"] or entry["before"]) for path, entry in gone.items()]
            ),
        },
    )


if __name__ == "__main__":
    main()
