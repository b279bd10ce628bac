# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on this host, and what must be started anew so that files that were put back count (systemctl(1))."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

Units = dict[str, dict[str, str]]

KINDS = ("*.service", "*.socket", "*.timer", "*.path")
PROPERTIES = (
    *("Id", "ActiveState", "SubState", "InvocationID", "FragmentPath", "Type", "NRestarts"),
    *("RefuseManualStart", "RefuseManualStop"),
)

LEFT_ALONE = re.compile(
    r"(dbus|dbus-broker|systemd-logind|systemd-udevd|polkit|(serial-|console-|container-)?getty@.*|user@.*|user-runtime-dir@.*"
    r"|session-.*|kijun-change.*|kijun-backup.*|kijun-restore.*|systemd-fsck.*|emergency|rescue)\.(service|socket|timer|path)"
)
"""What is not started anew: it would end sessions, or the work that is going on."""

OF_A_UNIT = re.compile(r"/(?:etc|run|usr/lib|lib)/systemd/system/([^/]+?\.(?:service|socket|timer|path))(?:\.d/.*)?")
INFO = "/var/lib/dpkg/info"
SHARED = 3
"""A folder that more packages than this have in common says nothing about whose settings are in it."""

OF_EVERYBODY = re.compile(
    r"/etc/(systemd|init\.d|rc.\.d|pam\.d|alternatives|cron\..*|logrotate\.d|apt|default|security)(/.*)?"
)
"""Folders in which every package has something of its own."""

SETTINGS = (
    ("/etc/sysctl.d/", "systemd-sysctl.service"),
    ("/etc/sysctl.conf", "systemd-sysctl.service"),
    ("/usr/lib/sysctl.d/", "systemd-sysctl.service"),
    ("/etc/systemd/journald.conf", "systemd-journald.service"),
    ("/etc/rsyslog.", "rsyslog.service"),
)
"""Where a path begins, and what must be started anew for it though no package says so."""

NEEDS_A_RESTART = ("/boot/", "/usr/lib/modules/", "/lib/modules/", "/etc/default/grub", "/etc/modprobe.d/")
"""What counts only once the host starts again."""


@dataclass
class Plan:
    """What to do with units after files were put back.

    Attributes:
        start: units that ran before, and do not now.
        restart: units that run, but were started anew since, or whose files were put back.
        stop: units that run, and did not before.
    """

    start: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)


def units() -> Units:
    """Every loaded unit that can run: its name, to its properties as systemctl-show(1) names them.

    Raises:
        OSError: systemctl cannot be run.
        subprocess.SubprocessError: it fails, or does not answer within a minute.
    """
    command = ["systemctl", "show", "--property=" + ",".join(PROPERTIES), *KINDS]
    shown = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
    return parsed(shown)


def parsed(shown: str) -> Units:
    """What systemctl-show(1) printed of several units.

    Args:
        shown: its output: a block of NAME=VALUE for each, an empty line between two.
    """
    found = (dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n"))
    return {unit["Id"]: unit for unit in found if unit.get("Id")}


def planned(before: Units, now: Units, touched: Collection[str]) -> Plan:
    """What to do with units so that the host runs as it did.

    Args:
        before: the units before the change.
        now: the units after it.
        touched: paths that were put back.
    """
    plan, concerned = Plan(), units_of(touched, {**before, **now})
    for name in sorted({*before, *now}):
        if LEFT_ALONE.fullmatch(name):
            continue
        was, state = _ran(before.get(name)), now.get(name, {})
        if was and not _runs(state):
            plan.start.append(name)
        elif was and (state["InvocationID"] != before[name]["InvocationID"] or name in concerned):
            if name.endswith(".service") and "yes" not in map(state.get, ("RefuseManualStart", "RefuseManualStop")):
                plan.restart.append(name)
        elif not _runs(before.get(name)) and _runs(state) and state["Type"] != "oneshot" and _lasting(name, before):
            plan.stop.append(name)
    return plan


def _runs(unit: dict[str, str] | None) -> bool:
    return (unit or {}).get("ActiveState") in ("active", "reloading", "activating")


def _ran(unit: dict[str, str] | None) -> bool:
    """Whether a unit ran and stays; one that was just starting may be a job that is done by now."""
    return (unit or {}).get("ActiveState") in ("active", "reloading")


def _lasting(name: str, before: Units) -> bool:
    """Whether a unit that did not run before has no business to run now: it was not there, or was there and stopped.

    One that systemd had not loaded may be started by a timer or a socket at any moment.
    """
    known = before.get(name)
    return known is not None or not os.path.exists(os.path.join("/usr/lib/systemd/system", name))


def units_of(paths: Collection[str], known: Units) -> set[str]:
    """The units that read files: their own, or some that a package has which brings the unit too.

    Args:
        paths: the files.
        known: the units that there are.
    """
    paths = [path for path in paths if not os.path.isdir(path)]  # a folder's time says nothing of settings
    found = {match.group(1) for match in map(OF_A_UNIT.fullmatch, paths) if match}
    found |= {unit for path in paths for start, unit in SETTINGS if path.startswith(start)}
    packages = owners(paths)
    fragments = {_merged(unit["FragmentPath"]): name for name, unit in known.items() if unit.get("FragmentPath")}
    for package in packages:
        found |= {fragments[path] for path in _listed(package) if path in fragments}
    return found & known.keys()


def owners(paths: Collection[str], info: str = INFO) -> set[str]:
    """The packages that have files, or the folder of settings that a file is in.

    Args:
        paths: the files.
        info: dpkg's folder with the lists of packages' files.

    Returns:
        Names of packages, as dpkg's lists are called.
    """
    wanted = {_merged(path) for path in paths}
    if not wanted:
        return set()
    folders = {folder for path in wanted for folder in _folders(path)}
    owned: set[str] = set()
    sharing: dict[str, set[str]] = {}
    for package in _packages(info):
        for path in _listed(package, info):
            if path in wanted:
                owned.add(package)
            elif path in folders:
                sharing.setdefault(path, set()).add(package)
    for packages in sharing.values():
        if len(packages) <= SHARED:
            owned |= packages
    return owned


def _folders(path: str) -> list[str]:
    """The folders of a program's own settings that a path is in, such as /etc/NAME."""
    parts = path.split("/")
    if not path.startswith("/etc/") or OF_EVERYBODY.fullmatch(path):
        return []
    return ["/".join(parts[:depth]) for depth in range(3, len(parts))]


def _packages(info: str) -> Iterable[str]:
    try:
        return sorted(name[: -len(".list")] for name in os.listdir(info) if name.endswith(".list"))
    except FileNotFoundError:
        return []


def _listed(package: str, info: str = INFO) -> Iterable[str]:
    try:
        with open(os.path.join(info, package + ".list"), encoding="utf-8", errors="surrogateescape") as lines:
            return [_merged(line.rstrip("\n")) for line in lines]
    except FileNotFoundError:
        return []


def _merged(path: str) -> str:
    """A path as it is where /lib, /bin and /sbin are links into /usr (usrmerge)."""
    return "/usr" + path if path.startswith(("/lib/", "/bin/", "/sbin/", "/lib64/")) else path


def carry_out(plan: Plan) -> dict[str, str]:
    """Have units run as planned.

    Args:
        plan: what to do.

    Returns:
        Unit -> what went wrong with it; nothing of one that does as it should.
    """
    failures: dict[str, str] = {}
    for verb, names in (("stop", plan.stop), ("restart", plan.restart), ("start", plan.start)):
        for name in names:
            # One by one: systemctl gives up all of them when one is not known any more.
            done = subprocess.run(
                ["systemctl", verb, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False
            )
            if done.returncode and not (verb == "stop" and b"not loaded" in done.stdout):
                failures[name] = "%s: %s" % (verb, done.stdout.decode(errors="replace").strip()[-300:])
    return failures


def reload_manager() -> None:
    """Have systemd read its units anew.

    Raises:
        subprocess.SubprocessError: it does not.
    """
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=90)


def unwell(before: Units, now: Units) -> list[str]:
    """What a change did to units that must not be.

    Args:
        before: the units before it.
        now: the units after it.

    Returns:
        One line for each unit that ran and does not, that has failed since, or that is started again and again.
    """
    found = []
    for name, was in sorted(before.items()):
        unit = now.get(name)
        state = unit["ActiveState"] if unit else "gone"
        if _ran(was) and not _runs(unit) and not _transient(name, was):
            found.append("%s ran before and is %s now" % (name, state))
    for name, unit in sorted(now.items()):
        was_failed = before.get(name, {}).get("ActiveState") == "failed"
        if unit["ActiveState"] == "failed" and not was_failed and not _runs(before.get(name)):
            found.append("%s has failed" % name)
        elif int(unit.get("NRestarts") or 0) > int(before.get(name, {}).get("NRestarts") or 0):
            found.append("%s was started again %s times by systemd" % (name, unit["NRestarts"]))
    return found


def _transient(name: str, unit: dict[str, str]) -> bool:
    """Whether a unit comes and goes by itself: a session's, a timer's short work."""
    return bool(LEFT_ALONE.fullmatch(name)) or unit["FragmentPath"].startswith("/run/systemd/transient/")


def wants_restart(touched: Iterable[str]) -> bool:
    """Whether the host must start again before what was put back counts.

    Args:
        touched: paths that were put back.
    """
    return any(path.startswith(NEEDS_A_RESTART) for path in touched)
