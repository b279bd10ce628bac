# SPDX-License-Identifier: GPL-3.0-or-later
"""Initial passwords, and the hashes by which hosts know them."""

from __future__ import annotations

import math
import secrets
from typing import Protocol

from passlib.hash import sha512_crypt

CLASSES = ("ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnpqrstuvwxyz", "23456789", "!#$%,-./?")
"""Signs of a password. Left out are those that look like others (O o 0 I l 1), and special ones that lie elsewhere on a
Japanese keyboard than on an American one: a console may not know yet which one it has."""

ALPHABET = "".join(CLASSES)
LENGTH = 16
ROUNDS = 200_000
"""Rounds of SHA-512: more than the 5,000 of crypt(5), and a tenth of a second for one login. The password is random,
and the host hashes the one that follows it with its own scheme, so that more would add nothing."""


class Chooser(Protocol):
    """What chooses at random: the module secrets, or random.SystemRandom()."""

    def choice(self, seq: str, /) -> str:
        """One of the signs."""


def entropy() -> float:
    """Bits that an initial password is worth to somebody who knows how it is made."""
    total, sizes = len(ALPHABET), [len(signs) for signs in CLASSES]
    # Inclusion and exclusion: passwords that lack none of the classes.
    count = 0
    for lacking in range(2 ** len(sizes)):
        left = total - sum(size for bit, size in enumerate(sizes) if lacking >> bit & 1)
        count += (-1) ** lacking.bit_count() * left**LENGTH
    return math.log2(count)


def initial_password(rng: Chooser = secrets) -> str:
    """A password to begin with: 16 signs with a capital, a small letter, a digit and a special character, so that it
    meets SM-4.1.5-1-1 and MR-14-1b, from which any such password comes out equally often.

    Args:
        rng: what chooses.
    """
    while True:
        password = "".join(rng.choice(ALPHABET) for _ in range(LENGTH))
        if all(set(password) & set(signs) for signs in CLASSES):
            return password


def password_hash(clear: str) -> str:
    """A password's hash for shadow(5), SHA-512 of crypt(5) with a random salt of 96 bits.

    Control AUTH-11 takes it. yescrypt, which Debian hashes with itself, is in no Python library.

    Args:
        clear: the password.
    """
    return str(sha512_crypt.using(rounds=ROUNDS, salt_size=16).hash(clear))
