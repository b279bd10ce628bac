# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords that are guessed at once: each hash is tried with a short list, by the system's own libcrypt.

Python's module crypt is gone since 3.13, which is Debian 13's. crypt_r(3) is called through ctypes, which lets other
threads run meanwhile, so that all processors work.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

DATA_SIZE = 65536
"""Bytes of `struct crypt_data`: 32 KB in libxcrypt; more does no harm."""

WORST = (
    *("password", "123456", "12345678", "123456789", "qwerty", "password1", "admin", "welcome", "letmein", "abc123"),
    *("111111", "changeme", "root", "toor", "test", "guest", "user", "P@ssw0rd", "Passw0rd", "Password1!", "debian"),
    *("secret", "000000", "iloveyou", "linux"),
)
"""Passwords that attackers try first."""


class Guess(NamedTuple):
    """A password to try, and what is said when it fits."""

    password: str
    finding: str


def decorated(word: str, year: int) -> Iterator[str]:
    """A word as people make a password of it, likeliest first."""
    low, capital = word.lower(), word[:1].upper() + word[1:].lower()
    yield from (low, capital)
    for tail in ("1", "123", str(year), "!", "1!", "123!", "%d!" % year, str(year - 1)):
        yield from (low + tail, capital + tail)


def words_of(text: str) -> list[str]:
    """The words of a name or a department that are long enough to be a password's heart."""
    return [word for word in re.split(r"[\W_]+", text) if len(word) >= 3]


def guesses(login: str, person: str, department: str, tries: int, year: int) -> list[Guess]:
    """What to try on one account.

    Args:
        login: its name.
        person: the person's name.
        department: the department's name.
        tries: how many guesses at most.
        year: the present year.
    """
    sources = [(login, "login name")]
    sources += [(word, "person's name") for word in [*words_of(person), "".join(words_of(person))] if word]
    sources += [(word, "department's name") for word in words_of(department)]
    found = [Guess(login, "equals the login name"), Guess(login[::-1], "is the login name backwards")]
    found += [Guess(word, "is one of the worst passwords") for word in WORST[:8]]
    rows = [[Guess(p, "is made from the %s" % what) for p in decorated(word, year)] for word, what in sources]
    # The likeliest forms of all words come before the less likely ones of the first.
    for place in range(max(map(len, rows))):
        found += [row[place] for row in rows if place < len(row)]
        found += [Guess(WORST[8 + place], "is one of the worst passwords")] if 8 + place < len(WORST) else []
    unique: dict[str, Guess] = {}
    for guess in found:
        unique.setdefault(guess.password, guess)
    return list(unique.values())[:tries]


def _crypt() -> ctypes._NamedFuncPointer:  # the type of a function of a library
    function = ctypes.CDLL("libcrypt.so.1").crypt_r
    function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    function.restype = ctypes.c_char_p
    return function


def find_weak(
    hashes: dict[str, str], people: dict[str, dict[str, str]], tries: int, seconds: float
) -> tuple[dict[str, str], int]:
    """Try the passwords of accounts.

    Args:
        hashes: login name -> hash, of accounts whose hash is usable.
        people: login name -> person and department, as far as they are known.
        tries: guesses an account at most.
        seconds: time that all of it may take.

    Returns:
        Login name -> what is wrong (never the password), and how many hashes were not tried to the end.

    Raises:
        OSError: the host has no libcrypt.
    """
    crypt, year = _crypt(), time.gmtime().tm_year
    lists = {
        login: guesses(
            login, people.get(login, {}).get("person", ""), people.get(login, {}).get("department", ""), tries, year
        )
        for login in hashes
    }
    # Each account's likeliest guess first, then each one's second: a short time then covers everybody.
    queue = [(login, guesses_[n]) for n in range(tries) for login, guesses_ in lists.items() if n < len(guesses_)]
    left = {login: len(found) for login, found in lists.items()}
    weak: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    lock = threading.Lock()
    work = iter(queue)

    def run() -> None:
        data = ctypes.create_string_buffer(DATA_SIZE)
        while time.monotonic() < deadline:
            with lock:
                login, guess = next(work, ("", None))
            if guess is None:
                return
            if login not in weak:
                result = crypt(guess.password.encode(), hashes[login].encode(), data)
                if result is not None and result.decode("ascii", "replace") == hashes[login]:
                    weak[login] = guess.finding
            with lock:
                left[login] -= 1

    threads = [threading.Thread(target=run) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return weak, sum(1 for login, count in left.items() if count and login not in weak)
