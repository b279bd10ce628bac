#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""The organisation's own certificate authority: its key stays on one host, which signs what many hosts ask for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_authority
short_description: Keep an internal certificate authority, and sign with it
version_added: "0.4.0"
description:
  - Makes an authority on the host where it runs, if there is none, and signs all requests in one step. Of a request
    only the key is taken; names, uses and days are those of O(requests), which come from the inventory.
  - What was signed is noted in C(issued.jsonl), a line for each certificate.
options:
  folder:
    description: Where the authority is, for root alone.
    type: path
    default: /etc/kijun/authority
  name:
    description: What the authority is called.
    type: str
    default: Kijun internal authority
  days:
    description: How long the authority lives.
    type: int
    default: 3650
  replace:
    description:
      - Make another authority, which signs from now on. Hosts trust the earlier one beside it until its time is over,
        so that certificates can be renewed one after the other.
    type: bool
    default: false
  requests:
    description: What M(kijun.baseline.certificates) says is to be signed, of all hosts.
    type: list
    elements: dict
    default: []
    suboptions:
      id: {description: host and name, type: str, required: true}
      csr: {description: "request in PEM; empty in check mode", type: str, required: true}
      names: {description: who may show it, type: list, elements: str, required: true}
      usages: {description: what it is for, type: list, elements: str, required: true}
      days: {description: how long it lives, type: int, required: true}
      why: {description: "why it is wanted; noted", type: str, default: ""}
attributes:
  check_mode:
    description: Says whether anything would be made or signed.
    support: full
  diff_mode:
    description: Shows what is signed.
    support: full
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.certificates
"""

EXAMPLES = r"""
- name: Sign what all hosts ask for
  kijun.baseline.certificate_authority:
    requests: "{{ ansible_play_hosts | map('extract', hostvars, ['state', 'requests']) | flatten }}"
  delegate_to: ca.example.com
  run_once: true
  register: made
"""

RETURN = r"""
authority:
  description:
    - Certificates of the authority that hosts trust, in PEM, the present one first. Empty in check mode before it is
      made.
  returned: success
  type: str
signed:
  description: Host and name, and the certificate in PEM.
  returned: success
  type: dict
refused:
  description: Host and name, and why nothing was signed.
  returned: success
  type: dict
"""

import fcntl
import glob
import json
import os
import secrets
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.certificates import (
    DAY,
    EXTENDED,
    CertificateError,
    make_key,
    openssl,
    public_key,
    read,
    subject_name,
)

SPEC = {
    "folder": {"type": "path", "default": "/etc/kijun/authority"},
    "name": {"type": "str", "default": "Kijun internal authority"},
    "days": {"type": "int", "default": 3650},
    "replace": {"type": "bool", "default": False},
    "requests": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "csr": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "usages": {"type": "list", "elements": "str", "required": True},
            "days": {"type": "int", "required": True},
            "why": {"type": "str", "default": ""},
        },
    },
}


class Authority:
    """An authority in a folder.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.certificate = os.path.join(folder, "authority.crt")
        self.key = os.path.join(folder, "authority.key")

    def exists(self) -> bool:
        """Whether it has been made to its end: the certificate comes last."""
        return os.path.exists(self.certificate)

    def check(self) -> None:
        """See that it can sign.

        Raises:
            CertificateError: its key is another one's, or its time is over.
        """
        there = read(self.text())
        if public_key(self.key) != there.public_key:
            raise CertificateError("%s does not fit %s" % (self.key, self.certificate))
        if there.ends <= time.time():
            raise CertificateError("%s: its time is over; replace makes another one" % self.certificate)

    def text(self) -> str:
        """Its certificate."""
        with open(self.certificate, encoding="utf-8") as file:
            return file.read()

    def trusted(self) -> str:
        """Its certificate and those of its forerunners whose time is not over."""
        found = [self.text()]
        for path in sorted(glob.glob(os.path.join(self.folder, "earlier-*.crt")), reverse=True):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if read(text).ends > time.time():
                found.append(text)
        return "".join(found)

    def make(self, name: str, days: int) -> None:
        """Make it, the present one becoming a forerunner."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        fresh_key, fresh = self.key + ".fresh", self.certificate + ".fresh"
        make_key(fresh_key)
        openssl(
            *("req", "-x509", "-new", "-key", fresh_key, "-subj", "/CN=%s" % name, "-days", str(days), "-out", fresh),
            *(
                "-addext",
                "basicConstraints=critical,CA:TRUE,pathlen:0",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ),
        )
        if self.exists():
            os.link(self.certificate, os.path.join(self.folder, "earlier-%d.crt" % time.time_ns()))
        os.replace(fresh_key, self.key)
        os.replace(fresh, self.certificate)

    def sign(self, request: dict[str, Any]) -> str:
        """Sign a request.

        Args:
            request: id, csr, names, usages, days.

        Raises:
            CertificateError: who asks does not have the key; or days reach beyond the authority's own end.
        """
        if "verify OK" not in openssl("req", "-noout", "-verify", given=request["csr"]):
            raise CertificateError("%s: who asks does not have the key" % request["id"])
        if time.time() + request["days"] * DAY > read(self.text()).ends:
            raise CertificateError(
                "%s: %d days reach beyond the authority's own end; replace makes another one"
                % (request["id"], request["days"])
            )
        with tempfile.TemporaryDirectory() as folder:
            key, extensions = os.path.join(folder, "key"), os.path.join(folder, "extensions")
            with open(key, "w", encoding="utf-8") as file:
                file.write(openssl("req", "-noout", "-pubkey", given=request["csr"]))
            with open(extensions, "w", encoding="utf-8") as file:
                file.write(
                    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n"
                    "subjectAltName=%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                    % (
                        ",".join(EXTENDED[usage] for usage in request["usages"]),
                        ",".join(map(subject_name, request["names"])),
                    )
                )
            return openssl(
                *("x509", "-new", "-force_pubkey", key, "-subj", "/CN=%s" % request["names"][0]),
                *("-CA", self.certificate, "-CAkey", self.key, "-set_serial", "0x" + secrets.token_hex(16)),
                *("-days", str(request["days"]), "-extfile", extensions),
            )

    def note(self, request: dict[str, Any], pem: str) -> None:
        """Note what was signed."""
        serial = openssl("x509", "-noout", "-serial", given=pem).strip().partition("=")[2]
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "serial": serial,
            "ends": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(read(pem).ends)),
            **{field: request[field] for field in ("id", "names", "usages", "why")},
        }
        with open(os.path.join(self.folder, "issued.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def run(wish: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do what the task asks for.

    Args:
        wish: the module's arguments.
        check: change nothing.
    """
    authority = Authority(wish["folder"])
    makes = wish["replace"] or not authority.exists()
    lines = ["%s: %s\n" % (request["id"], request["why"]) for request in wish["requests"]]
    diff = {"before": "", "after": ("make the authority\n" if makes else "") + "".join(lines)}
    if check:
        text = authority.trusted() if authority.exists() else ""
        return {"changed": bool(makes or lines), "authority": text, "signed": {}, "refused": {}, "diff": diff}
    os.makedirs(wish["folder"], mode=0o700, exist_ok=True)
    with open(os.path.join(wish["folder"], "lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wish["replace"] or not authority.exists():
            authority.make(wish["name"], wish["days"])
        authority.check()
        signed, refused = {}, {}
        for request in wish["requests"]:
            try:
                signed[request["id"]] = authority.sign(request)
            except CertificateError as error:  # one host's bad request keeps no other host from its certificate
                refused[request["id"]] = str(error)
                continue
            authority.note(request, signed[request["id"]])
        return {
            "changed": bool(makes or signed),
            "authority": authority.trusted(),
            "signed": signed,
            "refused": refused,
            "diff": diff,
        }


def main() -> None:
    """Make and sign."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except (CertificateError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
