# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes out of a text what looks like a secret. What a task marks with no_log never comes here: Ansible censors it."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

_NAMES = (
    r"(?:(?:passw(?:or)?d|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|psk)"
    r"[A-Za-z0-9_.-]{0,64}|(?<![A-Za-z0-9_.-])(?:pwd|pass))"
)
"""Ends of names whose values are secrets. Their plural forms and settings about them (password_max_days) are among
them: too much is hidden rather than too little."""

_VALUE = (
    r"(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    # A block of YAML: the lines below it, further in.
    r"|[|>][0-9+-]*[ \t]*(?:\n[+\- ]?[ \t]+[^\n]*)+|[^\s,;}\]]+)"
)

_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)", re.DOTALL
)
_VAULT = re.compile(r"\$ANSIBLE_VAULT;[^\n]*(?:\n[+\- ]*[0-9a-f]{16,})*")

# Hosts choose what these are tried on: none may take more than a time that grows with the text's length. So nothing
# that repeats may begin anew at each character of what it repeats.
_RULES = (
    (re.compile(r"AGE-SECRET-KEY-[0-9A-Za-z-]+"), HIDDEN),
    # Hashes of crypt(3), also within a line of shadow(5).
    (re.compile(r"\$(?:y|gy|7|6|5|2[abxy]|1|md5|sha1|argon2id?|scrypt)\$[^\s:'\"]+"), HIDDEN),
    (re.compile(r"SCRAM-SHA-256\$[^\s'\"]+"), HIDDEN),
    # What stands between a scheme and a host, when it has a colon.
    (re.compile(r"(://[^\s/:@'\"]*):[^\s/@'\"]+@"), r"\1:" + HIDDEN + "@"),
    (
        re.compile(r"(?i)(authorization['\"]?[ \t]*[:=][ \t]*['\"]?)(?:[A-Za-z]{1,20} )?[^\s'\",]+"),
        r"\1" + HIDDEN,
    ),
    (re.compile(r"(?i)(\bbearer )[A-Za-z0-9._~+/=-]{8,}"), r"\1" + HIDDEN),
    # JSON Web Tokens, and the tokens of well-known services.
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[opusr]_[A-Za-z0-9]{20,}|\bxox[abpr]-[A-Za-z0-9-]{10,}"), HIDDEN),
    # A line of a key whose first line is not in sight; hashes in hexadecimal stay.
    (re.compile(r"(?m)^([+\- ]?[ \t]*)(?![0-9a-f]+$)[A-Za-z0-9+/]{60,}={0,2}$"), r"\1" + HIDDEN),
    # name = value, name: value, "name": "value"
    (re.compile(r"(?i)(" + _NAMES + r"['\"]?[ \t]*(?:=>|[:=])[ \t]*)" + _VALUE), r"\1" + HIDDEN),
    (re.compile(r"(?i)((?<!\S)--?(?:password|passwd|token|secret|passphrase)(?:=|[ \t]+))\S+"), r"\1" + HIDDEN),
    (
        re.compile(
            r"(?im)^([+\- ]?[ \t]*(?:password|passwd|secret|requirepass|masterauth|bindpw|token)[ \t]+)\S[^\n]*$"
        ),
        r"\1" + HIDDEN,
    ),
)


def redacted(text: str) -> str:
    """A text in which what looks like a secret is hidden: private keys, hashes of passwords, tokens, passwords in
    addresses, and values whose name says that they are secrets.

    Args:
        text: any text.
    """
    if "PRIVATE KEY" in text:
        text = _BLOCK.sub(HIDDEN, text)
    if "$ANSIBLE_VAULT" in text:
        text = _VAULT.sub(HIDDEN, text)
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return text
