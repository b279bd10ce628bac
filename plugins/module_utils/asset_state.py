# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is made of, and what people chose to have on it; read-only, at low priority."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from typing import Any

from .facts.host import Host
from .facts.packages import software

DMI = "/sys/class/dmi/id"
STEP_MB = 256
"""The kernel keeps some of the memory to itself, and each version another part: memory is told in steps of this."""

VIRTUAL = re.compile(r"(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d*")
"""Block devices that are no piece of hardware, or hold what comes and goes."""

EMPTY = frozenset({"", "None", "Not Specified", "Default string", "To Be Filled By O.E.M.", "System Serial Number"})
"""What makers write where there is nothing."""

MOST_PROGRAMS = 200
"""Programs of an answer; how many there are is told in any case."""


def hardware(host: Host) -> dict[str, str]:
    """A machine's hardware as the book of assets keeps it; empty in a container, which has none of its own.

    Args:
        host: where its files are.
    """
    if host.read_if_there("/run/systemd/container").strip():
        return {}
    found = {
        "product": " ".join(filter(None, (_dmi(host, "sys_vendor"), _dmi(host, "product_name")))),
        "serial": _dmi(host, "product_serial"),
        "board_serial": _dmi(host, "board_serial"),
        "processors": _processors(host),
        "memory_mb": _memory(host),
        "disks": ", ".join(_disks(host)),
        "addresses": ", ".join(_addresses(host)),
    }
    return {name: text for name, text in found.items() if text}


def _dmi(host: Host, name: str) -> str:
    """A field of the machine's DMI table, sysfs; only root reads serials."""
    text = _read(host, "%s/%s" % (DMI, name))
    return "" if text in EMPTY else text


def _read(host: Host, path: str) -> str:
    """One line of a file; empty where there is none, or it cannot be read."""
    try:
        text = host.read_if_there(path)
    except OSError:
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _processors(host: Host) -> str:
    text = host.read_if_there("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    count = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return "%d x %s" % (count, " ".join(models[0].split()) if models else "processor") if count else ""


def _memory(host: Host) -> str:
    match = re.search(r"^MemTotal:\s*(\d+) kB", host.read_if_there("/proc/meminfo"), re.MULTILINE)
    return str(-(-int(match.group(1)) // 1024 // STEP_MB) * STEP_MB) if match else ""


def _names(host: Host, path: str) -> list[str]:
    try:
        return sorted(os.listdir(host.path(path)))
    except OSError:
        return []


def _disks(host: Host) -> list[str]:
    """Disks that are built in: model, size and, where it tells one, serial."""
    found = []
    for name in _names(host, "/sys/block"):
        folder = "/sys/block/" + name
        if VIRTUAL.fullmatch(name) or _read(host, folder + "/removable") == "1":
            continue
        sectors = _read(host, folder + "/size")
        size = "%d GB" % round(int(sectors) * 512 / 1e9) if sectors.isdigit() else ""
        serial = _read(host, folder + "/serial") or _read(host, folder + "/device/serial")
        serial = serial or _read(host, folder + "/wwid") or _read(host, folder + "/device/wwid")
        found.append(" ".join(filter(None, (_read(host, folder + "/device/model") or name, size, serial))))
    return sorted(found)


def _addresses(host: Host) -> list[str]:
    """Addresses of network cards that are hardware; the card's own where a bond or an administrator gave it another."""
    found = set()
    for name in _names(host, "/sys/class/net"):
        folder = "/sys/class/net/" + name
        if os.path.exists(host.path(folder + "/device")) and _read(host, folder + "/addr_assign_type") in (
            "0",
            "3",
            "",
        ):
            found.add(_read(host, folder + "/address"))
    return sorted(found - {""})


def programs(host: Host, trees: list[str], seconds: float) -> dict[str, Any]:
    """Files that can be executed, in trees where no package puts any.

    Args:
        host: where the files are.
        trees: absolute paths. Links are not followed, nor are file systems that begin below: one of a server that is
            away would hold this up for ever.
        seconds: how long looking may take; what was not looked at by then is told.

    Returns:
        ``paths`` (the first `MOST_PROGRAMS`, sorted), ``count``, ``files`` looked at, and ``unfinished``: trees that
        were not gone through.
    """
    end = time.monotonic() + seconds
    paths: list[str] = []
    files, unfinished = 0, []
    for tree in trees:
        waiting, system = [tree], _file_system(host.path(tree))
        while waiting:
            if time.monotonic() > end:
                unfinished.append(tree)
                break
            with contextlib.suppress(OSError), os.scandir(host.path(waiting.pop())) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.stat(follow_symlinks=False).st_dev == system:
                            waiting.append(_shown(host, entry.path))
                        continue
                    files += 1
                    if _is_program(entry):
                        paths.append(_shown(host, entry.path))
    return {
        "paths": [path.encode("utf-8", "backslashreplace").decode() for path in sorted(paths)[:MOST_PROGRAMS]],
        "count": len(paths),
        "files": files,
        "unfinished": unfinished,
    }


def _file_system(path: str) -> int:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1


def _shown(host: Host, path: str) -> str:
    """A path as the host itself has it."""
    root = host.path("/").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _is_program(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        if entry.is_file(follow_symlinks=False):
            return bool(stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode) & 0o111)
    return False


def main(argument: str) -> None:
    """Look, and print what was seen.

    Args:
        argument: JSON: ``trees`` and ``seconds``, as `programs` takes them.
    """
    asked = json.loads(argument)
    os.nice(10)
    host = Host()
    print(
        json.dumps(
            {
                "hardware": hardware(host),
                "chosen": software(host, {"chosen"})["chosen"],
                "programs": programs(host, asked["trees"], asked["seconds"]),
            }
        )
    )
