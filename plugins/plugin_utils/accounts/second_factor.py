# SPDX-License-Identifier: GPL-3.0-or-later
"""Second factors: secrets of time-based codes (TOTP, RFC 6238) and recovery codes, made here and sealed at once.

The clear text exists on the controller only while they are issued. What leaves it is the file for the hosts, and the
sealed message to the person.
"""

from __future__ import annotations

import base64
import datetime
import secrets
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .handover import HandoverError, Sealed, seal

SECRET_BYTES = 20
"""160 bits, as RFC 4226 recommends (section 4, R6)."""

RECOVERY_CODES = 10
ISSUER = "Kijun"

OPTIONS = ("RATE_LIMIT 3 30", "WINDOW_SIZE 3", "DISALLOW_REUSE", "TOTP_AUTH")
"""Lines of pam_google_authenticator's file: three tries in half a minute, the codes before and after the present one,
none of them twice."""

MESSAGE = """\
Login / ログイン名: {login}
Hosts / 対象ホスト: {hosts}
Issued / 発行日: {date}

Key for the authenticator app / 認証アプリの鍵:

    {secret}

    {uri}

Recovery codes, each for one login without the app / 回復コード（アプリが使えないとき、各コード1回のみ）:

{codes}

Tell them to nobody, keep the recovery codes apart from the device, and delete this message afterwards.
誰にも教えず、回復コードは端末とは別に保管し、登録後はこの文書を削除してください。
"""


class SecondFactor(NamedTuple):
    """A second factor that was issued.

    Attributes:
        file: for the hosts, google-authenticator(1).
        sealed: the message to the person.
    """

    file: str
    sealed: Sealed

    def __repr__(self) -> str:
        return "SecondFactor(sealed for %s)" % self.sealed.recipient


def recovery_codes() -> list[str]:
    """Codes of eight digits that do not begin with a zero: other ones pam_google_authenticator does not take."""
    codes: set[int] = set()
    while len(codes) < RECOVERY_CODES:
        codes.add(10_000_000 + secrets.randbelow(90_000_000))
    return [str(code) for code in sorted(codes, key=lambda code: secrets.randbits(32))]


def issue(login: str, keys: Mapping[str, Any], hosts: Sequence[str], today: datetime.date) -> SecondFactor:
    """Make a secret and recovery codes, and seal them to their person.

    Args:
        login: whose.
        keys: ssh_keys and age_key, of which there must be one.
        hosts: the hosts that get it.
        today: the day of issue.

    Raises:
        HandoverError: there is no key that it could be sealed to.
    """
    secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    codes = recovery_codes()
    label = urllib.parse.quote("%s:%s" % (ISSUER, login))
    message = MESSAGE.format(
        login=login,
        hosts=", ".join(hosts),
        date=today.isoformat(),
        secret=secret,
        uri="otpauth://totp/%s?secret=%s&issuer=%s" % (label, secret, ISSUER),
        codes="\n".join("    " + code for code in codes),
    )
    sealed = seal(message.encode(), keys.get("ssh_keys") or [], keys.get("age_key") or "")
    if sealed is None:
        raise HandoverError(
            "%s has no age key and no Ed25519 or RSA key to seal the second factor to (clause SM-4.1.1-3b)" % login
        )
    lines = [secret, *('" ' + option for option in OPTIONS), *codes]
    return SecondFactor("".join(line + "\n" for line in lines), sealed)
