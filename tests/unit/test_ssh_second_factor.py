# SPDX-License-Identifier: GPL-3.0-or-later
"""Second factors as they are made and sealed."""

from __future__ import annotations

import base64
import datetime
import re

import pyrage
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.handover import HandoverError
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.second_factor import issue, recovery_codes

TODAY = datetime.date(2026, 11, 21)


def test_recovery_codes_are_different_and_of_the_form_that_the_module_takes() -> None:
    codes = recovery_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch("[1-9][0-9]{7}", code) for code in codes)


def test_message_and_file_hold_the_same_secret() -> None:
    key = pyrage.x25519.Identity.generate()
    made = issue("worker", {"age_key": str(key.to_public())}, ["app1", "app2"], TODAY)
    secret, *lines = made.file.splitlines()
    assert len(base64.b32decode(secret)) == 20
    assert '" TOTP_AUTH' in lines
    assert '" DISALLOW_REUSE' in lines
    message = pyrage.decrypt(made.sealed.text.encode(), [key]).decode()
    assert f"    {secret}\n" in message
    assert f"otpauth://totp/Kijun%3Aworker?secret={secret}&issuer=Kijun" in message
    assert "app1, app2" in message
    assert [line for line in lines if line.isdigit()] == re.findall(r"^    (\d{8})$", message, re.MULTILINE)


def test_nothing_of_it_shows_when_it_is_printed() -> None:
    key = pyrage.x25519.Identity.generate()
    made = issue("worker", {"age_key": str(key.to_public())}, [], TODAY)
    assert made.file.splitlines()[0] not in repr(made)


def test_without_a_key_none_is_made() -> None:
    with pytest.raises(HandoverError, match="worker has no age key"):
        issue("worker", {"ssh_keys": ["ecdsa-sha2-nistp256 AAAA"]}, [], TODAY)
