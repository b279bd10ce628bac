# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for usbguard: who is in them until when, what is taken beside media, and what hostile devices say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import removable_media
from ansible_collections.kijun.baseline.plugins.module_utils.removable_media import (
    Medium,
    Settings,
    SettingsWrong,
    described,
    event,
    must_be_encrypted,
    present_rules,
    rules,
    settings_of,
)

DAY = datetime.date(2026, 11, 28)
STICK = {
    "name": "USB-1",
    "vendor_id": "0951",
    "product_id": "1666",
    "serial": "SN1",
    "person": "operator1",
    "until": "2026-11-28",
    "confidential": False,
    "encryption": "none",
}
ALLOWED = 'allow id 0951:1666 serial "SN1" with-interface match-all { 08:*:* }'
STORAGE = "block with-interface one-of { 08:*:* 06:*:* }"
KEYBOARD = 'allow id 046d:c31c serial "" name "Keyboard" hash "aB+/=" with-interface { 03:01:01 03:00:00 }'


def settings(**other: Any) -> Settings:
    given = {"media": [STICK], "interfaces": ["03:*:*", "09:*:*"], "one_keyboard": True, "encryption": "all", **other}
    return settings_of(json.dumps(given))


def test_a_medium_is_taken_until_its_last_day() -> None:
    lines = rules(settings(), DAY, [KEYBOARD])
    assert lines == [
        ALLOWED,
        STORAGE,
        KEYBOARD,
        "allow with-interface match-all { 03:*:* } if !allowed-matches(with-interface one-of { 03:00:01 03:01:01 })",
        "block with-interface one-of { 03:00:01 03:01:01 }",
        "allow with-interface match-all { 03:*:* 09:*:* }",
    ]
    assert ALLOWED not in rules(settings(), DAY + datetime.timedelta(days=1), [])
    assert rules(settings(one_keyboard=False, interfaces=[]), DAY, []) == [ALLOWED, STORAGE]


@pytest.mark.parametrize(
    "wrong",
    [
        {"media": [{**STICK, "serial": 'SN1" with-interface *:*:* allow'}]},
        {"media": [{**STICK, "serial": "SN1\nallow"}]},
        {"media": [{**STICK, "serial": ""}]},
        {"media": [{**STICK, "vendor_id": "*"}]},
        {"media": [{**STICK, "until": "tomorrow"}]},
        {"media": [{**STICK, "more": 1}]},
        {"media": [{**STICK, "encryption": "rot13"}]},
        {"media": [{**STICK, "confidential": "no"}]},
        {"encryption": "some"},
        {"media": 5},
        {"interfaces": ["*:*:*"]},
        {"interfaces": ["03:*:* }\nallow"]},
    ],
)
def test_what_is_no_setting_writes_no_rule(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsWrong, match=r"removable-media\.json"):
        settings(**wrong)


@pytest.mark.parametrize(
    ("encryption", "confidential", "demand", "words"),
    [
        ("luks", False, "none", "the book records it"),
        ("none", True, "confidential", "it is for confidential information"),
        ("none", False, "confidential", ""),
        ("none", False, "all", "every medium must be"),
        ("none", True, "none", ""),
        ("device", True, "all", ""),
    ],
)
def test_which_media_must_be_encrypted(encryption: str, confidential: bool, demand: str, words: str) -> None:
    medium = Medium(**{**STICK, "encryption": encryption, "confidential": confidential})
    why = must_be_encrypted(medium, demand)
    assert why.startswith(words)
    assert bool(why) == bool(words)


def test_without_settings_nobody_loses_a_keyboard_and_no_medium_is_taken() -> None:
    with pytest.raises(SettingsWrong):
        settings_of("")
    lines = rules(removable_media.NOTHING, DAY, [])
    assert lines == [STORAGE, "allow with-interface match-all { 03:*:* 09:*:* }"]


def test_what_was_there_stays_wherever_it_is_plugged_in_unless_it_carries_data() -> None:
    tail = 'parent-hash "x/=" via-port "1-1"'
    policy = "\n".join(
        [
            f'allow id 046d:c31c serial "" name "Keyboard" hash "aB+/=" {tail} with-interface {{ 03:01:01 03:00:00 }}'
            ' with-connect-type "hotplug"',
            f'allow id 0951:1666 serial "SN1" name "Stick" hash "b=" {tail} with-interface 08:06:50',
            f'allow id 0951:1667 serial "SN2" name "Both" hash "c=" {tail} with-interface {{ 03:01:01 08:06:50 }}',
            # It says of itself what stands in rules.
            f'allow id 0951:1668 serial "a\\" with-interface 03:00:00" {tail} with-interface 08:06:50',
            "",
        ]
    )
    assert present_rules(policy) == [KEYBOARD]


def test_what_was_there_is_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "usbguard"
    said.write_text(f"#!/bin/sh\necho '{KEYBOARD}'\n", encoding="utf-8")
    said.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    kept = tmp_path / "present.rules"
    assert removable_media.learned(str(kept)) == [KEYBOARD]
    said.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert removable_media.learned(str(kept)) == [KEYBOARD]
    assert kept.stat().st_mode & 0o777 == 0o600
    # A program that fails teaches nothing, for good least of all.
    assert removable_media.learned(str(tmp_path / "other.rules")) == []
    assert not (tmp_path / "other.rules").exists()


RULE = 'block id 0951:1666 serial "SN1" name "evil\\x0a \\"allow" hash "x=" via-port "1-1" with-interface { 08:06:50 }'


def told(signal: str, rule: str = RULE, **more: str) -> dict[str, Any] | None:
    return event({"USBGUARD_IPC_SIGNAL": signal, "USBGUARD_DEVICE_RULE": rule, **more}, settings())


def test_what_a_device_says_of_itself_is_told_as_text() -> None:
    assert described(RULE)["name"] == 'evil\\x0a \\"allow'
    assert described(RULE)["with_interface"] == "08:06:50"
    taken = told("Device.PolicyApplied", USBGUARD_DEVICE_TARGET_NEW="allow")
    assert taken is not None
    assert (taken["event"], taken["medium"], taken["lent_to"]) == ("taken", "USB-1", "operator1")
    other = RULE.replace("SN1", "SN2")
    refused = told("Device.PolicyApplied", other, USBGUARD_DEVICE_TARGET_NEW="block")
    assert refused is not None
    assert (refused["event"], refused["medium"], refused["serial"]) == ("refused", "", "SN2")
    removed = told("Device.PresenceChanged", USBGUARD_DEVICE_EVENT="Remove")
    assert removed is not None
    assert removed["event"] == "removed"
    # Mice and hubs come and go; nobody is told.
    assert told("Device.PolicyApplied", other, USBGUARD_DEVICE_TARGET_NEW="allow") is None
    assert told("Exception") is None
    assert Medium(**STICK) in settings().media
