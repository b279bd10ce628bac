# SPDX-License-Identifier: GPL-3.0-or-later
"""Which USB devices a host takes."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any

from ..removable_media import (
    HIDDEN,
    MAPPINGS,
    PLACE,
    PLAINTEXT,
    PRESENT,
    SETTINGS,
    Settings,
    SettingsWrong,
    must_be_encrypted,
    rules,
    rules_of,
    settings_of,
)
from ..removable_media.descriptor import usb_descriptor
from ..verdict import Unreadable
from .host import Host

DAEMON = "/etc/usbguard/usbguard-daemon.conf"
BLOCK = "/sys/class/block"


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
            "encryption": "",
            "plaintext": Unreadable(str(error)),
            "unscanned": _unscanned(host),
            "left_open": _left_open(host),
        }
    wanted = rules(settings, datetime.date.today(), rules_of(host.read_if_there(PRESENT)))
    return {
        **_daemon(host),
        "rules_differ": _differing(host, wanted),
        "interfaces": sorted(settings.interfaces),
        "one_keyboard": settings.one_keyboard,
        "media": sorted(one.name for one in settings.media),
        "encryption": settings.encryption,
        "plaintext": _plaintext(host, settings),
        "unscanned": _unscanned(host),
        "left_open": _left_open(host),
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


def _mounted(host: Host) -> list[tuple[str, str]]:
    """Block devices' names and where they are mounted."""
    found = []
    for line in host.read_if_there("/proc/self/mounts").splitlines():
        source, place = [*line.split(" "), ""][:2]
        if source.startswith("/dev/"):
            # A mapping's name is a link to the device.
            found.append((os.path.basename(os.path.realpath(host.path(source))), place))
    return found


def _is_usb(host: Host, device: str) -> bool:
    """Whether a block device is a USB device's, or stands on one."""
    if "/usb" in os.path.realpath(host.path("%s/%s" % (BLOCK, device))):
        return True
    return any(_is_usb(host, name) for name in _below(host, device))


def _below(host: Host, device: str) -> list[str]:
    """What a mapping stands on."""
    folder = host.path("%s/%s/slaves" % (BLOCK, device))
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _unscanned(host: Host) -> list[str]:
    """Where file systems of USB devices are mounted that were not scanned before."""
    ours = (HIDDEN + "/", PLACE + "/")
    return sorted(place for name, place in _mounted(host) if not place.startswith(ours) and _is_usb(host, name))


def _plaintext(host: Host, settings: Settings) -> list[str]:
    """Media that must be encrypted and are not: those that were refused for it, and those that are mounted."""
    media = {one.name: one for one in settings.media}
    known = {tuple(one[1:4]): one for one in settings.media}
    found = []
    folder = host.path(PLAINTEXT)
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            note = json.loads(host.read_if_there("%s/%s" % (PLAINTEXT, name)))
            medium = media.get(note["medium"])
            if medium and must_be_encrypted(medium, settings.encryption):
                found.append("%s, refused on %s" % (medium.name, note["day"]))
        except (ValueError, KeyError, TypeError):
            continue
    for name, place in _mounted(host):
        medium = known.get(tuple(usb_descriptor(name, host.path("/"))))
        if medium and must_be_encrypted(medium, settings.encryption):
            found.append("%s, mounted at %s" % (medium.name, place))
    return sorted(found)


def _left_open(host: Host) -> list[str]:
    """Open LUKS volumes of USB devices that Kijun did not open, or whose device went."""
    found = []
    folder = host.path(BLOCK)
    for device in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not host.read_if_there("%s/%s/dm/uuid" % (BLOCK, device)).startswith("CRYPT-"):
            continue
        name = host.read_if_there("%s/%s/dm/name" % (BLOCK, device)).strip()
        for below in _below(host, device):
            # The link outlives the device.
            way = os.path.realpath(host.path("%s/%s/slaves/%s" % (BLOCK, device, below)))
            if "/usb" in way and (name != MAPPINGS + below or not os.path.exists(way)):
                found.append(name)
    return found
