# SPDX-License-Identifier: GPL-3.0-or-later
"""X.509 certificates and their keys, read and made with openssl(1)."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import tempfile
from typing import NamedTuple

DAY = 86400
"""Seconds."""

LEAD = 90 * DAY
"""How long before its end a certificate is renewed (clause SO-5.1: three months)."""

TIMEOUT = 30
"""Seconds that one call of openssl may take."""

USAGES = {"server": "TLS Web Server Authentication", "client": "TLS Web Client Authentication"}
"""What a certificate may be for -> what openssl calls it."""

EXTENDED = {"server": "serverAuth", "client": "clientAuth"}
"""The same -> what openssl's configuration calls it."""


class CertificateError(Exception):
    """A certificate or key cannot be read or made; the text says which and why."""


class Certificate(NamedTuple):
    """What a certificate says.

    Attributes:
        subject: whose it is, as openssl writes it.
        names: who may show it: ``DNS:name`` and ``IP:address``.
        usages: what it is for, of `USAGES`.
        begins: seconds since 1970.
        ends: seconds since 1970.
        public_key: in PEM.
    """

    subject: str
    names: frozenset[str]
    usages: frozenset[str]
    begins: int
    ends: int
    public_key: str

    def due(self, now: float) -> bool:
        """Whether it is to be renewed: three months before its end, or after two thirds of a life that is no longer.

        Args:
            now: seconds since 1970.
        """
        life = self.ends - self.begins
        return self.ends - now < (life / 3 if life <= LEAD else LEAD)


def openssl(*arguments: str, given: str = "") -> str:
    """Run openssl.

    Args:
        arguments: its arguments; never a secret, since other users see them.
        given: its standard input.

    Returns:
        Its standard output; that of ``req -verify`` with what it says of the request, since OpenSSL 3.0 ends well
        whether the request's sender has the key or not.

    Raises:
        CertificateError: it is missing, or says no.
    """
    try:
        done = subprocess.run(
            ["openssl", *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if "-verify" in arguments else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateError("openssl %s: %s" % (arguments[0], error)) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["exit status %d" % done.returncode]
        raise CertificateError("openssl %s: %s" % (arguments[0], said[-1]))
    return done.stdout


def subject_name(name: str) -> str:
    """A name or address as it stands in a certificate: ``DNS:log1.example.com``, ``IP:192.0.2.1``."""
    return ("IP:" if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", name) else "DNS:") + name


def read(pem: str) -> Certificate:
    """Read the first certificate of a text.

    Args:
        pem: in PEM.

    Raises:
        CertificateError: there is none.
    """
    said = openssl(
        *("x509", "-noout", "-subject", "-startdate", "-enddate", "-pubkey"),
        *("-ext", "subjectAltName,extendedKeyUsage"),
        given=pem,
    )
    fields = dict(re.findall(r"^(subject|notBefore|notAfter)=\s*(.*)$", said, re.MULTILINE))
    names = re.search(r"Subject Alternative Name:.*\n\s*(.*)", said)
    key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", said, re.DOTALL)
    if len(fields) != 3 or key is None:
        raise CertificateError("openssl x509 did not say what a certificate holds: %r" % said[:200])
    return Certificate(
        fields["subject"],
        frozenset(name.replace("IP Address:", "IP:") for name in re.split(r",\s*", names.group(1)))
        if names
        else frozenset(),
        frozenset(usage for usage, words in USAGES.items() if words in said),
        ssl.cert_time_to_seconds(fields["notBefore"]),
        ssl.cert_time_to_seconds(fields["notAfter"]),
        key.group(0),
    )


def public_key(path: str) -> str:
    """The public part of a key file, in PEM.

    Raises:
        CertificateError: it holds no key.
    """
    return openssl("pkey", "-in", path, "-pubout").strip()


def signed_by(pem: str, authorities: str) -> bool:
    """Whether a certificate is valid now, and comes from one of some authorities.

    Args:
        pem: the certificate.
        authorities: their certificates, in PEM.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as file:
        file.write(authorities)
        file.flush()
        try:
            openssl("verify", "-CAfile", file.name, "-no-CApath", "-no-CAstore", given=pem)
        except CertificateError:
            return False
    return True


def make_key(path: str) -> None:
    """Make a key on the curve P-256, for root alone, whole or not at all.

    Raises:
        CertificateError: it could not be made.
    """
    beside = path + ".new"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
