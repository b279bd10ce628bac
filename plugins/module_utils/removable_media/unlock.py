# SPDX-License-Identifier: GPL-3.0-or-later
"""What the holder of an encrypted medium runs: it asks for the passphrase, and hands it to who opens the medium.

Runs on hosts: Python 3.9 and its standard library.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys

from . import LONGEST_PASSPHRASE, UNLOCK


def waiting(folder: str = UNLOCK) -> list[str]:
    """Names of the media that wait for a passphrase of whoever asks.

    Args:
        folder: where their sockets are.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name for name in names if os.access(os.path.join(folder, name), os.W_OK))


def passphrase_of(name: str) -> bytes:
    """What is typed, which no terminal shows; or all of the standard input where that is no terminal.

    Args:
        name: the medium's.
    """
    if sys.stdin.isatty():
        return os.fsencode(getpass.getpass("Passphrase of %s: " % name))
    given = sys.stdin.buffer.read(LONGEST_PASSPHRASE + 2)
    return given[:-1] if given.endswith(b"\n") else given


def sent(name: str, passphrase: bytes, folder: str = UNLOCK) -> dict[str, str]:
    """Hand a passphrase over, and wait until the medium is scanned.

    Args:
        name: the medium's.
        passphrase: its.
        folder: where the sockets are.

    Returns:
        ``place``, where the medium is now; or ``refused``, why it is nowhere.

    Raises:
        OSError: nobody takes it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.path.join(folder, name))
        connection.sendall(passphrase)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            more = connection.recv(4096)
            if not more:
                break
            answer += more
    return dict(json.loads(answer)) if answer else {"refused": "it was taken out"}


def main(arguments: list[str], folder: str = UNLOCK) -> int:
    """Unlock one medium.

    Args:
        arguments: its name; none where no more than one waits.
        folder: where the sockets are.

    Returns:
        0 where it can be used; 1 where it is refused; 2 where the question is wrong.
    """
    names = waiting(folder)
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print("usage: kijun-media-unlock [MEDIUM]", file=sys.stderr)
        return 2
    chosen = [name for name in names if name in arguments] if arguments else names
    if len(chosen) != 1:
        why = "one of these, please: %s" % ", ".join(names) if names else "no medium waits for a passphrase of yours"
        print(why, file=sys.stderr)
        return 2
    passphrase = passphrase_of(chosen[0])
    if not 0 < len(passphrase) <= LONGEST_PASSPHRASE:
        print("a passphrase has 1 to %d bytes" % LONGEST_PASSPHRASE, file=sys.stderr)
        return 2
    try:
        answer = sent(chosen[0], passphrase, folder)
    except OSError as error:
        print("%s: %s" % (chosen[0], error.strerror), file=sys.stderr)
        return 1
    if "place" in answer:
        print("%s can be used: %s" % (chosen[0], answer["place"]))
        return 0
    print("%s is refused: %s" % (chosen[0], answer.get("refused", "no reason")), file=sys.stderr)
    return 1
