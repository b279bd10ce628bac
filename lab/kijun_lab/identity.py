# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a checkout's lab, made once in .lab/: of its user, its hosts, and the outside time source."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from . import vm_description
from .description import STATE, Lab
from .podman import lock

USER_KEY = STATE / "id_ed25519"
KNOWN_HOSTS = STATE / "known_hosts"
HOST_KEYS = STATE / "hosts"
UPSTREAM_KEY = STATE / "upstream.key"
UPSTREAM_CERTIFICATE = STATE / "upstream.crt"
UPSTREAM_NAME = "upstream"


def ensure(lab: Lab) -> None:
    """Make every key that does not exist yet, and .lab/known_hosts.

    Args:
        lab: any instance; keys and known_hosts serve all instances of the checkout.
    """
    with lock("kijun-lab-keys"):
        STATE.mkdir(mode=0o755, exist_ok=True)
        HOST_KEYS.mkdir(mode=0o700, exist_ok=True)
        ensure_ssh_key(USER_KEY, "kijun-lab")
        known = []
        for host in lab.hosts.values():
            ensure_ssh_key(HOST_KEYS / host.name, host.name)
            octet = host.address.rpartition(".")[2]
            known.append(f"{lab.prefix}.*.{octet} {public_file(HOST_KEYS / host.name).read_text(encoding='ascii')}")
        for machine in vm_description.read(lab.instance).machines.values():
            ensure_ssh_key(HOST_KEYS / machine.name, machine.name)
            known.append(f"{machine.pattern} {public_file(HOST_KEYS / machine.name).read_text(encoding='ascii')}")
        write_whole(KNOWN_HOSTS, "".join(known).encode(), 0o644)
        if not UPSTREAM_CERTIFICATE.exists():
            _make_certificate()


def public_file(key: Path) -> Path:
    """The file with the public half of an SSH key."""
    return key.with_name(key.name + ".pub")


def ensure_ssh_key(path: Path, comment: str) -> None:
    """Make a pair of SSH keys, unless it exists; the public half is in `public_file`."""
    # The private half is written last: a run that was killed in between makes the pair anew.
    if path.exists():
        return
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    write_whole(public_file(path), public + f" {comment}\n".encode(), 0o644)
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)


def _make_certificate() -> None:
    """Make the certificate with which `upstream` serves NTS (RFC 8915), self-signed: roles get it as a trusted one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, UPSTREAM_NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(UPSTREAM_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_whole(UPSTREAM_KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    write_whole(UPSTREAM_CERTIFICATE, certificate.public_bytes(Encoding.PEM), 0o644)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, and leave one alone that has this content already."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode)
    temporary.write_bytes(content)
    temporary.replace(path)
