# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands initial passwords over: sealed to the person's age or SSH key, or to the vault of who issues them.

The clear text exists only while `issue_password` runs. What leaves it is the hash for the hosts and the sealed message.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyrage

from .passwords import initial_password, password_hash

MESSAGE = """\
Login / ログイン名: {login}
Hosts / 対象ホスト: {hosts}
Issued / 発行日: {date}
Initial password / 初期パスワード:

    {password}

It must be changed at the first login. Tell it to nobody, and delete this message afterwards.
初回ログイン時に必ず変更してください。誰にも教えず、変更後はこの文書を削除してください。
"""


class HandoverError(Exception):
    """A password cannot be handed over; nothing was issued."""


class Sealed(NamedTuple):
    """A message that only its recipient can read.

    Attributes:
        text: it, as lines of ASCII.
        recipient: whose key: an age recipient, the names of SSH keys, or the vault's.
        how: age, ssh or vault.
    """

    text: str
    recipient: str
    how: str


class Issue(NamedTuple):
    """An issued password.

    Attributes:
        password_hash: for shadow(5).
        sealed: the message to the person.
    """

    password_hash: str
    sealed: Sealed

    def __repr__(self) -> str:
        return "Issue(sealed for %s)" % self.sealed.recipient


def ssh_recipients(keys: Iterable[str]) -> dict[str, Any]:
    """Those of some SSH keys that age can seal to: Ed25519, and RSA of 2048 bits and more. Others only sign.

    Args:
        keys: lines of authorized_keys.

    Returns:
        A name of the key (its type, last signs and comment) -> age's recipient.
    """
    found = {}
    for line in keys:
        words = line.split(" ", 2)
        if words[0] not in ("ssh-ed25519", "ssh-rsa") or len(words) < 2:
            continue
        try:
            recipient = pyrage.ssh.Recipient.from_str(" ".join(words[:2]))
        except pyrage.RecipientError:
            continue
        found[" ".join([words[0], "..." + words[1][-12:], *words[2:]])] = recipient
    return found


def seal(clear: bytes, ssh_keys: Sequence[str], age_key: str) -> Sealed | None:
    """Seal a message to a person's age key, or else to their SSH keys (age-encryption.org/v1, armored).

    A ledger keeps a person's keys without order, so that none is the newest; each of them lets the person in, and each
    opens the message.

    Args:
        clear: the message.
        ssh_keys: lines of authorized_keys without options.
        age_key: an age recipient (age1...), or nothing.

    Returns:
        The sealed message; None where the person has no key that it could be sealed to, such as only ECDSA ones.

    Raises:
        HandoverError: the age key is none.
    """
    if age_key:
        try:
            recipient: Any = pyrage.x25519.Recipient.from_str(age_key)
        except pyrage.RecipientError as error:
            raise HandoverError("age_key %r is no age recipient: %s" % (age_key, error)) from None
        return Sealed(_armored(clear, [recipient]), age_key, "age")
    found = ssh_recipients(ssh_keys)
    if not found:
        return None
    return Sealed(_armored(clear, list(found.values())), ", ".join(found), "ssh")


def _armored(clear: bytes, recipients: list[Any]) -> str:
    return bytes(pyrage.encrypt(clear, recipients, armored=True)).decode("ascii")


def seal_in_vault(clear: bytes, encrypt: Callable[[bytes], str | bytes], name: str) -> Sealed:
    """Seal a message into the vault of the administrator who issues it, for a person without a key.

    Args:
        clear: the message.
        encrypt: encrypts it; see `vault_encrypt`.
        name: the vault's name, for the records.
    """
    text = encrypt(clear)
    return Sealed(text if isinstance(text, str) else text.decode("ascii"), name, "vault")


def vault_encrypt(password: bytes) -> Callable[[bytes], bytes]:
    """Encryption by ansible-vault(1), which `ansible-vault view` reads.

    Args:
        password: the vault's password.

    Raises:
        HandoverError: it is empty.
    """
    # Only here is Ansible needed; an action hands its own vault's encryption over instead.
    from ansible.parsing.vault import VaultLib, VaultSecret

    if not password.strip():
        raise HandoverError("the vault's password is empty")
    secret = VaultSecret(password)
    return lambda clear: bytes(VaultLib([("default", secret)]).encrypt(clear, secret))


def issue_password(
    account: Mapping[str, Any],
    hosts: Sequence[str],
    today: datetime.date,
    vault: Callable[[bytes], str | bytes] | None = None,
    vault_name: str = "vault",
) -> Issue:
    """Make an initial password, hash it and seal it to its person; no other copy is kept.

    Args:
        account: fields of the account, of which login, ssh_keys and age_key are used.
        hosts: the hosts that get it.
        today: the day of issue.
        vault: encrypts for who issues it, where the person has no key; None where there is no vault.
        vault_name: its name.

    Raises:
        HandoverError: there is neither a key nor a vault (clause SM-4.1.1-3b), or the age key is none.
    """
    clear = initial_password()
    message = MESSAGE.format(
        login=account["login"], hosts=", ".join(hosts), date=today.isoformat(), password=clear
    ).encode()
    sealed = seal(message, account.get("ssh_keys") or [], account.get("age_key") or "")
    if sealed is None and vault is not None:
        sealed = seal_in_vault(message, vault, vault_name)
    if sealed is None:
        reason = "%s has no age key, no Ed25519 or RSA key, and there is no vault to hand the password over"
        raise HandoverError((reason + " (clause SM-4.1.1-3b)") % account["login"])
    return Issue(password_hash(clear), sealed)
