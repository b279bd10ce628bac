# SPDX-License-Identifier: GPL-3.0-or-later
"""Which USB devices a host takes: rules for usbguard(1), made of the media that are lent for it, until their last day.

Runs on hosts: Python 3.9 and its standard library.
"""

from __future__ import annotations

import datetime
import json
import os
import pwd
import re
import subprocess
import syslog
from typing import Any, NamedTuple

SETTINGS = "/etc/kijun/removable-media.json"
RULES = "/etc/usbguard/rules.conf"
HEAD = (
    "# Managed by Kijun (role removable_media): made from %s whenever usbguard starts. usbguard-rules.conf(5)\n"
    % SETTINGS
)
PRESENT = "/etc/kijun/removable-media-present.rules"
"""Rules for what was there when usbguard first started: without it somebody's only keyboard could be refused."""
SEAT = "/run/systemd/seats/seat0"
TAG = "kijun-media"

HIDDEN = "/run/kijun-media"
"""Where a file system is while it is scanned: root alone comes in."""

PLACE = "/media/kijun"

UNLOCK = "/run/kijun-media-unlock"
"""Where encrypted media wait for their passphrase, a socket each."""

LONGEST_PASSPHRASE = 8192

MAPPINGS = "kijun-media-"
"""How the names of their open sides begin; the device's name in the kernel follows."""

PLAINTEXT = "/var/lib/kijun/media-plaintext"
"""Notes of media that must be encrypted and were found not to be, a file each, until they are or go back."""

ENCRYPTIONS = ("none", "luks", "device")
"""What the book says of a medium: nothing, a LUKS volume, or a medium that encrypts by itself."""

DEMANDS = ("confidential", "all", "none")
"""Which media must be encrypted beside those that the book records as LUKS volumes."""

STORAGE = "08:*:* 06:*:*"
"""Mass storage; and cameras and telephones (PTP, MTP), by which data come and go as well: class codes of usb.org."""
KEYBOARDS = "03:00:01 03:01:01"

INTERFACE = re.compile(r"[0-9a-f]{2}:(?:[0-9a-f]{2}|\*):(?:[0-9a-f]{2}|\*)")
IDENTIFIER = re.compile(r"[0-9a-f]{4}")
SERIAL = re.compile(r"[!#-\[\]-~]{1,126}")
"""Visible characters of ASCII without blanks, quotes and backslashes: a serial writes nothing else into a rule."""


class SettingsWrong(Exception):
    """What the role wrote is not of its form; the text says what."""


class Medium(NamedTuple):
    """A medium that a host takes.

    Attributes:
        name: its name in the book of media.
        vendor_id, product_id, serial: of its USB descriptor.
        person: who has it.
        until: the last day, ISO 8601.
        confidential: whether confidential information may be on it.
        encryption: one of `ENCRYPTIONS`.
    """

    name: str
    vendor_id: str
    product_id: str
    serial: str
    person: str
    until: str
    confidential: bool
    encryption: str


class Settings(NamedTuple):
    """What the role says.

    Attributes:
        media: those that are lent for this host.
        interfaces: kinds of interfaces, ``class:subclass:protocol``, that other devices may have.
        one_keyboard: refuse a second keyboard while there is one.
        encryption: one of `DEMANDS`.
    """

    media: list[Medium]
    interfaces: list[str]
    one_keyboard: bool
    encryption: str


def settings_of(text: str) -> Settings:
    """The settings of a file.

    Args:
        text: JSON: ``media`` (objects of `Medium`), ``interfaces``, ``one_keyboard``, ``encryption``.

    Raises:
        SettingsWrong: it is not of that form.
    """
    try:
        found = json.loads(text)
        media = [Medium(**one) for one in found["media"]]
        settings = Settings(media, list(found["interfaces"]), bool(found["one_keyboard"]), found["encryption"])
        if settings.encryption not in DEMANDS:
            raise SettingsWrong("%s: encryption %r is none of %s" % (SETTINGS, settings.encryption, ", ".join(DEMANDS)))
        for one in media:
            datetime.date.fromisoformat(one.until)
            if not (IDENTIFIER.fullmatch(one.vendor_id) and IDENTIFIER.fullmatch(one.product_id)):
                raise SettingsWrong("%s: medium %s has no USB ids" % (SETTINGS, one.name))
            if not SERIAL.fullmatch(one.serial):
                raise SettingsWrong("%s: medium %s has a serial that no rule may hold" % (SETTINGS, one.name))
            if one.encryption not in ENCRYPTIONS or not isinstance(one.confidential, bool):
                raise SettingsWrong("%s: medium %s does not say how it is encrypted" % (SETTINGS, one.name))
        for interface in settings.interfaces:
            if not INTERFACE.fullmatch(interface):
                raise SettingsWrong("%s: %r is no kind of interface" % (SETTINGS, interface))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsWrong("%s: not of its form: %s" % (SETTINGS, error)) from None
    return settings


NOTHING = Settings([], ["03:*:*", "09:*:*"], False, "all")
"""What holds where settings cannot be read: no media, and nobody loses a keyboard."""


def must_be_encrypted(medium: Medium, demand: str) -> str:
    """Why a medium must be a LUKS volume; empty where it need not be one.

    Args:
        medium: it. Of one that encrypts by itself nothing shows at a host.
        demand: which must be, one of `DEMANDS`.
    """
    if medium.encryption == "luks":
        return "the book records it as a LUKS volume"
    if medium.encryption == "none" and demand == "all":
        return "every medium must be (removable_media_encryption)"
    if medium.encryption == "none" and demand == "confidential" and medium.confidential:
        return "it is for confidential information"
    return ""


CARRIES = re.compile(r"\b0[68]:[0-9a-f]{2}:[0-9a-f]{2}\b")
"""An interface by which data come and go, see `STORAGE`."""

ELSEWHERE = re.compile(r' (?:parent-hash|via-port|with-connect-type) "(?:[^"\\]|\\.)*"')
"""What of a rule says where a device is plugged in."""


def present_rules(policy: str) -> list[str]:
    """Rules for devices that are there, wherever they are plugged in; none for what carries data.

    Args:
        policy: what usbguard(1), generate-policy, makes of them.
    """
    lines = [ELSEWHERE.sub("", line.strip()) for line in policy.splitlines()]
    return [line for line in lines if line.startswith("allow id ") and not CARRIES.search(_interfaces(line))]


def _interfaces(rule: str) -> str:
    """The interfaces of a device's rule, which stand behind all that the device says of itself."""
    return rule.rpartition(" with-interface ")[2]


def rules(settings: Settings, day: datetime.date, present: list[str]) -> list[str]:
    """The rules of a day; the first that fits a device decides, and what none fits is blocked.

    Args:
        settings: what the role says.
        day: the day. Media whose last day is over have no rule.
        present: rules for devices that were there before, as `present_rules` gives them.
    """
    lines = [
        'allow id %s:%s serial "%s" with-interface match-all { 08:*:* }' % (one.vendor_id, one.product_id, one.serial)
        for one in settings.media
        if day.isoformat() <= one.until
    ]
    lines.append("block with-interface one-of { %s }" % STORAGE)
    lines += present
    if settings.one_keyboard:
        kept = "with-interface one-of { %s }" % KEYBOARDS
        lines += [
            "allow %s with-interface match-all { 03:*:* } if !allowed-matches(%s)" % ("", kept),
            "block %s" % kept,
        ]
    if settings.interfaces:
        lines.append("allow with-interface match-all { %s }" % " ".join(settings.interfaces))
    return [" ".join(line.split()) for line in lines]


def rules_file(settings: Settings, day: datetime.date, present: list[str]) -> str:
    """The file that has these rules, for usbguard-daemon(8)."""
    return HEAD + _lines(rules(settings, day, present))


def rules_of(text: str) -> list[str]:
    """The rules of a file that may have comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def learned(path: str = PRESENT) -> list[str]:
    """Rules for what was there when this was asked for the first time; they are kept.

    Args:
        path: the file that keeps them. Without it, what is there now is learned.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return rules_of(file.read())
    except FileNotFoundError:
        pass
    done = subprocess.run(["usbguard", "generate-policy", "-P"], capture_output=True, text=True, check=False)
    if done.returncode:
        return []
    found = present_rules(done.stdout)
    write_rules(
        "# Devices that were there when Kijun came. Remove this file to have them learned anew.\n" + _lines(found), path
    )
    return found


def _lines(found: list[str]) -> str:
    return "".join("%s\n" % line for line in found)


def read_settings(path: str = SETTINGS) -> Settings:
    """The settings of this host.

    Raises:
        SettingsWrong: they are not of their form, or there are none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return settings_of(file.read())
    except OSError as error:
        raise SettingsWrong("%s: %s" % (path, error.strerror)) from None


def write_rules(text: str, path: str = RULES) -> bool:
    """Put the rules in place, whole; whether they are others than before."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return False
    except OSError:
        pass
    new = path + ".part"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        os.fsync(file.fileno())
    os.replace(new, path)
    return True


def tell(about: dict[str, Any]) -> None:
    """Say in the log what happened: one line of JSON, which the log servers get.

    Args:
        about: what.
    """
    syslog.openlog(TAG, 0, syslog.LOG_AUTHPRIV)
    priority = syslog.LOG_WARNING if about.get("event") == "refused" else syslog.LOG_NOTICE
    syslog.syslog(priority, json.dumps(about, sort_keys=True))


def person_at_the_seat(path: str = SEAT) -> str:
    """Who sits at the machine, systemd-logind(8); empty for nobody."""
    try:
        with open(path, encoding="utf-8") as file:
            match = re.search(r"^ACTIVE_UID=(\d+)$", file.read(), re.MULTILINE)
    except OSError:
        return ""
    if not match:
        return ""
    try:
        return pwd.getpwuid(int(match.group(1))).pw_name
    except KeyError:
        return "uid %s" % match.group(1)


DESCRIBED = re.compile(
    r"(?P<key>id|serial|name|via-port|with-interface) "
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<set>\{[^}]*\})|(?P<bare>\S+))'
)


def described(rule: str) -> dict[str, str]:
    """What a device says of itself, out of the rule that usbguard makes of it, which escapes what cannot be printed.

    Args:
        rule: such as ``block id 0951:1666 serial "SN1" name "Stick" ... with-interface 08:06:50``.
    """
    found: dict[str, str] = {}
    for match in DESCRIBED.finditer(rule):
        value = match.group("quoted") or (match.group("set") or "").strip("{} ") or match.group("bare") or ""
        found.setdefault(match.group("key").replace("-", "_"), value)
    return {key: "".join(c if c.isprintable() else "?" for c in value)[:300] for key, value in found.items()}


def event(environment: dict[str, str], settings: Settings) -> dict[str, Any] | None:
    """What to say of something that usbguard tells, usbguard(1), watch; None for what is nothing to tell.

    Args:
        environment: ``USBGUARD_IPC_SIGNAL`` and what belongs to it.
        settings: those of the host.
    """
    signal = environment.get("USBGUARD_IPC_SIGNAL", "")
    about = described(environment.get("USBGUARD_DEVICE_RULE", ""))
    if signal == "Device.PresenceChanged" and environment.get("USBGUARD_DEVICE_EVENT") == "Remove":
        happened = "removed"
    elif signal == "Device.PolicyApplied":
        target = environment.get("USBGUARD_DEVICE_TARGET_NEW", "")
        happened = "taken" if target == "allow" else "refused"
    else:
        return None
    vendor, _, product = about.get("id", "").partition(":")
    wanted = (vendor, product, about.get("serial", ""))
    medium = next((one for one in settings.media if one[1:4] == wanted), None)
    if happened != "refused" and medium is None:
        return None
    return {
        "event": happened,
        "medium": medium.name if medium else "",
        "lent_to": medium.person if medium else "",
        "person": person_at_the_seat(),
        **about,
    }


def main(arguments: list[str]) -> int:
    """What the units of the role call.

    Args:
        arguments: ``rules`` (write them), ``expire`` (write them, and have them in force where they are others), or
            ``event`` (tell one, which the environment describes).
    """
    try:
        settings = read_settings()
    except SettingsWrong as error:
        tell({"event": "failed", "reason": str(error)})
        settings = NOTHING
    if arguments == ["rules"]:
        write_rules(rules_file(settings, datetime.date.today(), learned()))
    elif arguments == ["expire"]:
        if write_rules(rules_file(settings, datetime.date.today(), learned())):
            # A stick whose time is over may have files open that are not written yet.
            os.sync()
            subprocess.run(["systemctl", "restart", "usbguard.service"], check=True)
    elif arguments == ["event"]:
        about = event(dict(os.environ), settings)
        if about:
            tell(about)
    else:
        return 2
    return 0
