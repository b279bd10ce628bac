# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel: its settings now and after the next start, its modules, core dumps, AppArmor and the boot menu."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from typing import Any

from .host import Host, lines, number_or_text

SYSCTL = "/proc/sys"
SYSCTL_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
MODPROBE_DIRECTORIES = (
    *("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"),
)
COREDUMP_DIRECTORIES = tuple(
    base + "/systemd/coredump.conf.d" for base in ("/etc", "/run", "/usr/local/lib", "/usr/lib")
)
DOING_NOTHING = ("/bin/false", "/usr/bin/false", "/bin/true", "/usr/bin/true")
"""Commands that a module's ``install`` line gives to have it not loaded, modprobe.d(5)."""

BOOT_MENU = "/boot/grub/grub.cfg"


def drop_ins(host: Host, directories: tuple[str, ...]) -> list[str]:
    """Files of drop-in directories in the order they count: by name, and of one name the first directory's alone.

    A link to /dev/null, with which an administrator masks a file, reads as an empty one.
    """
    found: dict[str, str] = {}
    for directory in directories:
        for path in glob.glob(host.path(directory) + "/*.conf"):
            name = os.path.basename(path)
            found.setdefault(name, directory + "/" + name)
    return [found[name] for name in sorted(found)]


def setting_path(name: str) -> str:
    """The path below /proc/sys of a setting, sysctl.d(5).

    Where its first separator is a slash, dots are dots of an interface's name; else dots and slashes change places.
    """
    first = re.search(r"[./]", name)
    if first and first.group() == ".":
        return name.translate(str.maketrans("./", "/."))
    return name


def paths_of(host: Host, name: str) -> list[str]:
    """The paths of the settings that a name stands for: ``*`` is any one name, such as an interface's."""
    path = "%s/%s" % (SYSCTL, setting_path(name))
    if "*" not in path:
        return [path] if os.path.exists(host.path(path)) else []
    prefix = len(host.path(SYSCTL)) - len(SYSCTL)
    return sorted(found[prefix:] for found in glob.glob(host.path(path)))


def value_of(text: str) -> int | str:
    """A setting's value as it is compared: several numbers with one blank between."""
    return number_or_text(" ".join(text.split()))


def at_boot(host: Host) -> dict[str, int | str | None]:
    """What systemd-sysctl(8) sets when the host starts: path or pattern -> value; None keeps patterns from a path."""
    wanted: dict[str, int | str | None] = {}
    for file in drop_ins(host, SYSCTL_DIRECTORIES):
        for number, line in enumerate(lines(host.read(file)), 1):
            text = line.strip()
            if not text or text[0] in "#;":
                continue
            name, sign, value = text.partition("=")
            name = name.strip()
            if not sign and not name.startswith("-"):
                host.problem(file, number, "%r is no setting" % text[:60])
                continue
            path = "%s/%s" % (SYSCTL, setting_path(name.lstrip("-").strip()))
            wanted.pop(path, None)  # of two, the later one, at its place
            wanted[path] = value_of(value) if sign else None
    return wanted


def boot_value(wanted: dict[str, int | str | None], path: str) -> int | str | None:
    """What a setting is set to when the host starts; None when nothing sets it.

    Args:
        wanted: of :func:`at_boot`.
        path: the setting's.
    """
    if path in wanted:
        return wanted[path]
    patterns = [pattern for pattern in wanted if "*" in pattern and fnmatch.fnmatch(path, pattern)]
    return wanted[patterns[-1]] if patterns else None


def kernel_settings(host: Host, keys: set[str]) -> dict[str, Any]:
    """Kernel settings by name, each as it is in force and as files set it at boot."""
    wanted = at_boot(host)
    found: dict[str, Any] = {}
    for name in keys:
        values: dict[str, Any] = {}
        path = "%s/%s" % (SYSCTL, setting_path(name))
        if "*" not in name:
            text = host.read_if_there(path)
            found[name] = {"in force": value_of(text) if text else None, "at boot": boot_value(wanted, path)}
            continue
        before, _, after = path.partition("*")
        for each in paths_of(host, name):
            interface = each[len(before) : len(each) - len(after)]
            values[interface] = value_of(host.read(each))
            values[interface + " at boot"] = boot_value(wanted, each)
        found[name] = values
    return found


def modules(host: Host, keys: set[str]) -> dict[str, Any]:
    """Loaded kernel modules, and those that modprobe.d(5) keeps from being loaded."""
    installs: list[tuple[str, str]] = []
    listed: set[str] = set()
    for file in drop_ins(host, MODPROBE_DIRECTORIES):
        for line in lines(host.read(file).replace("\\\n", " ")):
            words = line.split("#")[0].split(None, 2)
            if len(words) == 3 and words[0] == "install":
                installs.append((words[1].replace("-", "_"), words[2].strip()))
            elif len(words) == 2 and words[0] == "blacklist":
                listed.add(words[1].replace("-", "_"))
    first: dict[str, str] = {}
    for name, _command in installs:  # of several lines that match, modprobe takes the first
        first.setdefault(name, next(c for pattern, c in installs if fnmatch.fnmatch(name, pattern)))
    return {
        "loaded": [line.split()[0] for line in lines(host.read_if_there("/proc/modules"))],
        "blocked": sorted(name for name, command in first.items() if command in DOING_NOTHING and name in listed),
    }


def core_dumps(host: Host, keys: set[str]) -> dict[str, Any]:
    """Limits of limits.conf(5), and what coredump.conf(5) keeps."""
    limits: dict[str, str] = {}
    files = ["/etc/security/limits.conf", *drop_ins(host, ("/etc/security/limits.d",))]
    for file in files:
        for line in lines(host.read_if_there(file)):
            words = line.split("#")[0].split()
            if len(words) == 4 and words[2] == "core" and words[1] in ("hard", "-"):
                limits[words[0]] = words[3]
    settings: dict[str, str] = {}
    for file in ["/etc/systemd/coredump.conf", *drop_ins(host, COREDUMP_DIRECTORIES)]:
        for line in lines(host.read_if_there(file)):
            name, sign, value = line.partition("=")
            if sign and not line.lstrip().startswith(("#", ";")):
                settings[name.strip()] = value.strip()
    return {
        "limits": {domain: number_or_text(value) for domain, value in limits.items()},
        "storage": settings.get("Storage"),
        "process_size_max": number_or_text(settings["ProcessSizeMax"]) if "ProcessSizeMax" in settings else None,
    }


def apparmor(host: Host, keys: set[str]) -> dict[str, Any]:
    """AppArmor, from the kernel's own lists."""
    profiles: dict[str, str] = {}
    for line in lines(host.read_if_there("/sys/kernel/security/apparmor/profiles")):
        match = re.fullmatch(r"(.*) \((\w+)\)", line)
        if match:
            profiles[match.group(1)] = match.group(2)
    enabled = host.read_if_there("/sys/module/apparmor/parameters/enabled").strip() == "Y"
    return {
        "enabled": enabled,
        "enforced": sorted(name for name, mode in profiles.items() if mode in ("enforce", "kill")),
        "not_enforced": sorted(name for name, mode in profiles.items() if mode == "complain"),
        "escaped": _escaped(host, set(profiles)) if enabled else [],
    }


def _escaped(host: Host, names: set[str]) -> list[str]:
    """Programs that have a profile of their own name and run without one: they were started before it was loaded."""
    found = set()
    for path in glob.glob(host.path("/proc") + "/[0-9]*"):
        try:
            program = os.readlink(path + "/exe")
            if program in names:
                with open(path + "/attr/current", encoding="utf-8") as file:
                    if file.read().strip("\0\n") == "unconfined":
                        found.add(program)
        except OSError:  # it ended meanwhile, or is a thread of the kernel
            continue
    return sorted(found)


def boot_loader(host: Host, keys: set[str]) -> dict[str, Any]:
    """GRUB's menu, as update-grub(8) has made it."""
    text = host.read_if_there(BOOT_MENU)
    kernels = [line.split()[1:] for line in lines(text) if re.match(r"\s*linux(16|efi)?\s", line)]
    users = re.search(r"^\s*set superusers=[\"']?([^\"'\n]*)", text, re.MULTILINE)
    return {
        "present": bool(text),
        "superusers": users.group(1).split() if users else [],
        "passwords": sorted(set(re.findall(r"^\s*password_pbkdf2\s+(\S+)", text, re.MULTILINE))),
        "plain_passwords": sorted(set(re.findall(r"^\s*password\s+(\S+)", text, re.MULTILINE))),
        "without_apparmor": [words[0] for words in kernels if "apparmor=0" in words or "apparmor=1" not in words],
    }
