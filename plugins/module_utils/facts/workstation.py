# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC that people work at: what its desktops are set to, whether screens lock, and what may run."""

from __future__ import annotations

import glob
import os
import pwd
import re
import stat
import time
from typing import Any

from .host import Host, Settings, lines
from .inventory import record_of
from .mounts import mounted

DCONF = "/usr/bin/dconf"
PROFILES = {"settings": "/etc/dconf/profile/user", "greeter": "/etc/dconf/profile/gdm"}
MANDATORY = "/run/dconf/user"
FIRST_PERSON = 1000

SCREENS = "/run/kijun/screens.json"
SCREEN_SETTINGS = "/etc/kijun/workstation/watch.json"

RULES = "/etc/fapolicyd/compiled.rules"
CONFIGURATION = "/etc/fapolicyd/fapolicyd.conf"
DECIDED = ("/etc/kijun/workstation/programs.rules", "/etc/kijun/workstation/fapolicyd.conf")
"""What each start of the daemon puts in the place of these two."""
DAEMON = "/run/fapolicyd.pid"
HOLDING_PROGRAMS = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay", "vfat", "exfat", "fuseblk", "ntfs3"),
    *("iso9660", "udf", "squashfs", "nfs", "nfs4", "cifs"),
}
"""Types of file systems from which a user could run something."""


def _dconf(host: Host, profile: str, *words: str) -> list[str]:
    """What dconf(1) says under a profile, for nobody in particular; nothing where there is no dconf or profile."""
    if not (os.path.exists(host.path(DCONF)) and os.path.exists(host.path(profile))):
        return []
    nobody = ("HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent", "XDG_RUNTIME_DIR=/nonexistent")
    return lines(host.run("env", "DCONF_PROFILE=" + profile, *nobody, "dconf", *words))


def _settings(host: Host, profile: str) -> Settings:
    """Key -> value as dconf prints it."""
    found, folder = Settings(), ""
    for line in _dconf(host, profile, "dump", "/"):
        if line.startswith("["):
            folder = line.strip("[]")
        elif "=" in line:
            key, _, value = line.partition("=")
            found["/%s/%s" % (folder, key) if folder != "/" else "/" + key] = value
    return found


def _astray(host: Host) -> list[str]:
    """People who are logged in and whose programs may read other settings than the locked ones."""
    found = []
    folder = host.path("/run/user")
    for number in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not number.isdigit() or int(number) < FIRST_PERSON:
            continue
        link = host.path(os.path.join(MANDATORY, number))
        if not os.path.islink(link) or os.readlink(link) != PROFILES["settings"]:
            found.append(_name(int(number)))
    return found


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


AUTOMATIC = re.compile(
    r"(AutomaticLoginEnable|TimedLoginEnable|allow-guest|autologin-guest)\s*=\s*true\s*$"
    r"|(autologin-user)\s*=\s*\S+\s*$|(ExecStart)\s*=.*\s(--autologin|-a)\s",
    re.IGNORECASE,
)
LOGIN_FILES = (
    "/etc/gdm3/daemon.conf",
    "/etc/gdm3/custom.conf",
    "/etc/lightdm/lightdm.conf",
    "/etc/lightdm/lightdm.conf.d/*.conf",
    "/usr/share/lightdm/lightdm.conf.d/*.conf",
    "/etc/sddm.conf",
    "/etc/sddm.conf.d/*.conf",
    "/etc/systemd/system/*getty@*.service.d/*.conf",
    "/etc/systemd/system/*getty@*.service",
)


def _automatic_logins(host: Host) -> list[str]:
    """Settings that log somebody in who did not say who he is: file: line."""
    found = []
    paths = {path for pattern in LOGIN_FILES for path in glob.glob(host.path(pattern))}
    for path in sorted(paths):
        name = path if host.root == "/" else "/" + os.path.relpath(path, host.root)
        section = ""
        for line in lines(host.read_if_there(name)):
            text = line.strip()
            if text.startswith("["):
                section = text.strip("[]").lower()
            sddm = name.startswith("/etc/sddm") and section == "autologin" and re.match(r"User\s*=\s*\S", text)
            if sddm or AUTOMATIC.match(text):
                found.append("%s: %s" % (name, text))
    return found


def desktop(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what is asked for of the settings that hold for everybody, and of the greeter's."""
    tree: dict[str, Any] = {
        "profile": [line.strip() for line in lines(host.read_if_there(PROFILES["settings"])) if line.strip()],
        "astray": _astray(host),
        "automatic_logins": _automatic_logins(host),
    }
    for name in keys & set(PROFILES):
        tree[name] = _settings(host, PROFILES[name])
    if "locks" in keys:
        tree["locks"] = sorted(_dconf(host, PROFILES["settings"], "list-locks", "/"))
    return tree


def screens(host: Host, keys: set[str]) -> dict[str, Any]:
    """What kijun-workstation-watch saw last."""
    seen = record_of(host, SCREENS)
    return {
        "lock_seconds": record_of(host, SCREEN_SETTINGS).get("lock_seconds"),
        "age_seconds": round(time.time() - seen["at"]) if "at" in seen else None,
        "sessions": seen.get("sessions", []),
        "unlocked": seen.get("unlocked", []),
        "not_seen": seen.get("not_seen", []),
    }


def programs(host: Host, keys: set[str]) -> dict[str, Any]:
    """What fapolicyd decides by, and whether it is what runs and what is on the disk."""
    rules = [line for line in lines(host.read_if_there(RULES)) if line.strip() and not line.startswith("#")]
    settings = Settings()
    for line in lines(host.read_if_there(CONFIGURATION)):
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings[name.strip()] = value.strip()
    watched = (settings["watch_fs"] or "").split(",")
    return {
        "rules": rules,
        "permissive": settings["permissive"],
        "unwatched": sorted(
            "%s: %s" % (point, state["type"])
            for point, state in mounted(host).items()
            if state["type"] in HOLDING_PROGRAMS
            and state["type"] not in watched
            and "noexec" not in state["options"]
            and os.path.isdir(host.path(point))
        ),
        "stale": _stale(host),
        "changeable": _changeable(host, rules),
    }


def _stale(host: Host) -> list[str]:
    """Decisions that are newer than the daemon that should go by them; or that there is none."""
    try:
        started = os.stat(host.path("/proc/%d" % int(host.read(DAEMON)))).st_mtime
    except (OSError, ValueError):
        return ["fapolicyd does not run"]
    there = [path for path in DECIDED if os.path.exists(host.path(path))]
    return [path for path in there if os.stat(host.path(path)).st_mtime > started + 1]


def _changeable(host: Host, rules: list[str]) -> list[str]:
    """Approved places that others than root can write to."""
    found = []
    for path in sorted({path for rule in rules for word in re.findall(r"dir=(\S+)", rule) for path in word.split(",")}):
        try:
            info = os.stat(host.path(path))
        except FileNotFoundError:
            continue
        if info.st_uid != os.stat(host.path("/")).st_uid or info.st_mode & 0o022:
            found.append("%s: %s %04o" % (path, _name(info.st_uid), stat.S_IMODE(info.st_mode)))
    return found
