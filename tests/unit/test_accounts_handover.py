# SPDX-License-Identifier: GPL-3.0-or-later
"""Initial passwords: how they are made, and that only their person, or the issuing administrator, can read them."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyrage
import pytest
from ansible.parsing.vault import AnsibleVaultError, VaultLib, VaultSecret
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts import handover, passwords
from kijun_tools import tree
from passlib.hash import sha512_crypt

TODAY = date(2026, 11, 21)


def ssh_pair(folder: Path, *options: str) -> tuple[bytes, str]:
    """A key made by ssh-keygen: the private one, and its line of authorized_keys."""
    path = folder / "-".join(["key", *options])
    command = ["ssh-keygen", "-q", "-N", "", "-C", "tanaka@example.com", "-f", str(path), "-t", *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.read_bytes(), path.with_name(path.name + ".pub").read_text().strip()


@pytest.fixture(scope="module")
def ed25519(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    return ssh_pair(tmp_path_factory.mktemp("keys"), "ed25519")


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    return ssh_pair(tmp_path_factory.mktemp("keys"), "rsa", "-b", "3072")


@pytest.fixture(scope="module")
def ecdsa(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    return ssh_pair(tmp_path_factory.mktemp("keys"), "ecdsa")


def opened(sealed: handover.Sealed | None, private: bytes) -> str:
    assert sealed is not None
    return pyrage.decrypt(sealed.text.encode(), [pyrage.ssh.Identity.from_buffer(private)]).decode()


def password_in(message: str) -> str:
    found = re.search(r"^    (\S+)$", message, re.MULTILINE)
    assert found
    return found[1]


def test_passwords_meet_the_policy_and_bear_no_look_alikes() -> None:
    made = [passwords.initial_password() for _ in range(2000)]
    assert len(set(made)) == 2000
    for password in made:
        assert len(password) == 16
        assert not set(password) & set("OoIl01|'\"`\\ ")
        for signs in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"):
            assert re.search(signs, password)
    assert {sign for password in made for sign in password} == set(passwords.ALPHABET)
    assert len(passwords.ALPHABET) == len(set(passwords.ALPHABET))


def test_passwords_are_worth_more_than_ninety_bits() -> None:
    assert 90 < passwords.entropy() < 16 * 6.1


def test_the_figure_of_entropy_is_right_where_it_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "CLASSES", ("AB", "c"))
    monkeypatch.setattr(passwords, "ALPHABET", "ABc")
    monkeypatch.setattr(passwords, "LENGTH", 2)
    assert passwords.entropy() == 2  # Ac, Bc, cA and cB


def test_a_choice_that_lacks_a_class_is_made_anew() -> None:
    class Chooser:
        def __init__(self) -> None:
            self.signs = iter("A" * 16 + "Ab2!" * 4)

        def choice(self, seq: str, /) -> str:
            assert seq == passwords.ALPHABET
            return next(self.signs)

    assert passwords.initial_password(Chooser()) == "Ab2!" * 4


def test_hashes_are_of_a_scheme_that_the_audit_takes_and_hosts_know() -> None:
    found = passwords.password_hash("Correct-Horse7")
    assert re.fullmatch(r"\$6\$rounds=200000\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}", found)
    assert sha512_crypt.verify("Correct-Horse7", found)
    assert passwords.password_hash("Correct-Horse7") != found
    controls = tree.load(tree.ROOT / "roles/authentication/controls.yml")
    schemes = next(
        entry["value"] for control in controls for entry in control["expect"] if entry["fact"] == "accounts.hash_scheme"
    )
    assert "sha512" in schemes


def test_the_systems_own_crypt_verifies_the_hash() -> None:
    found = passwords.password_hash("Correct-Horse7")
    program = (
        "import ctypes, sys; crypt = ctypes.CDLL('libcrypt.so.1').crypt; crypt.restype = ctypes.c_char_p; "
        "print(crypt(b'Correct-Horse7', sys.argv[1].encode()).decode())"
    )
    done = subprocess.run([sys.executable, "-c", program, found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_open_what_is_sealed_to_them(kind: str, request: pytest.FixtureRequest) -> None:
    private, public = request.getfixturevalue(kind)
    sealed = handover.seal("秘密".encode(), [public], "")
    assert sealed is not None and sealed.how == "ssh"
    assert sealed.text.startswith("-----BEGIN AGE ENCRYPTED FILE-----\n") and sealed.text.isascii()
    assert sealed.recipient.startswith("ssh-%s ..." % kind) and sealed.recipient.endswith("tanaka@example.com")
    assert opened(sealed, private) == "秘密"


def test_each_of_a_persons_ssh_keys_opens_it_and_no_other_does(
    ed25519: tuple[bytes, str], rsa: tuple[bytes, str], ecdsa: tuple[bytes, str], tmp_path: Path
) -> None:
    sealed = handover.seal(b"secret", [ecdsa[1], rsa[1], ed25519[1]], "")
    assert opened(sealed, ed25519[0]) == opened(sealed, rsa[0]) == "secret"
    with pytest.raises(pyrage.DecryptError):
        opened(sealed, ssh_pair(tmp_path, "ed25519")[0])


def test_the_age_key_comes_first(ed25519: tuple[bytes, str]) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealed = handover.seal(b"secret", [ed25519[1]], str(identity.to_public()))
    assert sealed is not None
    assert (sealed.how, sealed.recipient) == ("age", str(identity.to_public()))
    assert pyrage.decrypt(sealed.text.encode(), [identity]) == b"secret"
    with pytest.raises(pyrage.DecryptError):
        opened(sealed, ed25519[0])


def test_keys_that_only_sign_seal_nothing(ecdsa: tuple[bytes, str], tmp_path: Path) -> None:
    short = ssh_pair(tmp_path, "rsa", "-b", "1024")[1]
    damaged = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== x"
    assert handover.seal(b"secret", [ecdsa[1], short, damaged, "", "ssh-rsa"], "") is None


def test_a_wrong_age_key_is_refused_rather_than_passed_over(ed25519: tuple[bytes, str]) -> None:
    for wrong in ("age1nonsense", "AGE-SECRET-KEY-1", "age1yubikey1abc"):
        with pytest.raises(handover.HandoverError, match=wrong):
            handover.seal(b"secret", [ed25519[1]], wrong)


def test_an_issued_password_reaches_the_host_as_a_hash_and_the_person_sealed(ed25519: tuple[bytes, str]) -> None:
    account = {"login": "tanaka", "ssh_keys": [ed25519[1]], "age_key": ""}
    issue = handover.issue_password(account, ["web01", "web02"], TODAY)
    message = opened(issue.sealed, ed25519[0])
    password = password_in(message)
    assert sha512_crypt.verify(password, issue.password_hash)
    for text in ("tanaka", "web01, web02", "2026-11-21", "changed at the first login", "初回ログイン時に必ず変更"):
        assert text in message
    assert password not in repr(issue) + str(issue) + issue.sealed.text
    assert issue.password_hash not in repr(issue)
    assert handover.issue_password(account, ["web01"], TODAY).password_hash != issue.password_hash


def test_no_copy_of_the_clear_text_is_left(ed25519: tuple[bytes, str]) -> None:
    issue = handover.issue_password({"login": "tanaka", "ssh_keys": [ed25519[1]]}, ["web01"], TODAY)
    password = password_in(opened(issue.sealed, ed25519[0]))
    gc.collect()
    assert [found for found in gc.get_objects() if _holds(found, password)] == []
    kept = ["a copy: " + password]
    assert [found for found in gc.get_objects() if _holds(found, password)] == [kept]


def _holds(found: Any, password: str) -> bool:
    """Whether a container holds a text with the password, other than the test's own."""
    texts = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
    return any(isinstance(text, str) and text is not password and password in text for text in texts)


def test_without_a_key_the_issuers_vault_gets_it(ecdsa: tuple[bytes, str]) -> None:
    account = {"login": "tanaka", "ssh_keys": [ecdsa[1]], "age_key": ""}
    encrypt = handover.vault_encrypt(b"the vault's password\n")
    issue = handover.issue_password(account, ["web01"], TODAY, encrypt, "issuer")
    assert (issue.sealed.how, issue.sealed.recipient) == ("vault", "issuer")
    assert issue.sealed.text.startswith("$ANSIBLE_VAULT;1.")
    clear = VaultLib([("default", VaultSecret(b"the vault's password\n"))]).decrypt(issue.sealed.text)
    assert sha512_crypt.verify(password_in(clear.decode()), issue.password_hash)
    with pytest.raises(AnsibleVaultError):
        VaultLib([("default", VaultSecret(b"another"))]).decrypt(issue.sealed.text)


def test_without_key_and_vault_nothing_is_issued(ecdsa: tuple[bytes, str]) -> None:
    with pytest.raises(handover.HandoverError, match=r"tanaka has no age key.*SM-4\.1\.1-3b"):
        handover.issue_password({"login": "tanaka", "ssh_keys": [ecdsa[1]]}, ["web01"], TODAY)
    with pytest.raises(handover.HandoverError, match="empty"):
        handover.vault_encrypt(b" \n")
