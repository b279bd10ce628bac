# SPDX-License-Identifier: GPL-3.0-or-later
"""Which USB devices a host takes."""

from __future__ import annotations

import datetime
import os
from typing import Any

from ..removable_media import HIDDEN, PLACE, PRESENT, SETTINGS, SettingsWrong, rules, rules_of, settings_of
from .host import Host

DAEMON = "/etc/usbguard/usbguard-daemon.conf"


def usb(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read the settings, and the rules that are in force in usbguard's daemon."""
    try:
        settings = settings_of(host.read_if_there(SETTINGS))
    except SettingsWrong as error:
        return {
            **_daemon(host),
            "rules_differ": [str(error)],
            "interfaces": [],
            "one_keyboard": False,
            "media": [],
            "unscanned": _unscanned(host),
        }
    wanted = rules(settings, datetime.date.today(), rules_of(host.read_if_there(PRESENT)))
    return {
        **_daemon(host),
        "rules_differ": _differing(host, wanted),
        "interfaces": sorted(settings.interfaces),
        "one_keyboard": settings.one_keyboard,
        "media": sorted(one.name for one in settings.media),
        "unscanned": _unscanned(host),
    }


def _daemon(host: Host) -> dict[str, Any]:
    lines = [line.strip() for line in host.read_if_there(DAEMON).splitlines()]
    said = [line for line in lines if "=" in line and not line.startswith("#")]
    return {"daemon_settings": sorted(said), "access": _access(host, said)}


def _access(host: Host, said: list[str]) -> list[str]:
    """Files by which users get a say about devices."""
    folders = [line.partition("=")[2] for line in said if line.startswith("IPCAccessControlFiles=")]
    found = []
    for folder in folders:
        path = host.path(folder)
        found += [os.path.join(folder, name) for name in (os.listdir(path) if os.path.isdir(path) else [])]
    return sorted(found)


def _differing(host: Host, wanted: list[str]) -> list[str]:
    """Rules in force that should not be, and those that are not and should."""
    try:
        text = host.run("usbguard", "list-rules")
    except OSError as error:
        return ["usbguard does not answer: %s" % error]
    there = [line.partition(": ")[2].strip() for line in text.splitlines() if line.strip()]
    if there == wanted:
        return []
    return ["+ %s" % rule for rule in there if rule not in wanted] + [
        "- %s" % rule for rule in wanted if rule not in there
    ] or ["in another order"]


def _unscanned(host: Host) -> list[str]:
    """Where file systems of USB devices are mounted that were not scanned before."""
    found = []
    for line in host.read_if_there("/proc/self/mounts").splitlines():
        device, place = [*line.split(" "), ""][:2]
        name = os.path.basename(device)
        is_usb = "/usb" in os.path.realpath(host.path("/sys/class/block/%s" % name))
        if device.startswith("/dev/") and is_usb and not place.startswith((HIDDEN + "/", PLACE + "/")):
            found.append(place)
    return sorted(found)
