#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a host's certificates: say which are to be signed, and put in place what was."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Keep a host's certificates and their keys
version_added: "0.4.0"
description:
  - Without O(signed), says which certificates the host needs signed, for which new keys wait. Where it needs none, puts
    the authority in place if it is another one than before.
  - With O(signed), puts certificates, keys and the authority in place together.
  - Units that use them are told to read them anew.
  - A certificate is wanted anew three months before its end, or after two thirds of a life of three months or less
    (clause SO-5.1); and when it is not there, is not the authority's, does not fit its key, or is for other names or
    uses. Each gets a new key, which never leaves the host.
  - The controller's part of this module adds to each request what O(wanted) says of it, so that a host cannot ask for
    another one's name.
options:
  folder:
    description: Where certificates (C(NAME.crt)), keys (C(NAME.key)) and the authority (C(authority.crt)) are.
    type: path
    default: /etc/kijun/certificates
  wanted:
    description: The certificates of this host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What its files are called.
        type: str
        required: true
      names:
        description: Host names and addresses that may show it.
        type: list
        elements: str
        required: true
      usages:
        description: What it is for.
        type: list
        elements: str
        choices: [server, client]
        default: [server, client]
      owner:
        description: Who owns the key, and alone can read it.
        type: str
        default: root
      days:
        description: How long it lives.
        type: int
        default: 90
      units:
        description: Units that are reloaded, or where they cannot reload, restarted, if they run.
        type: list
        elements: str
        default: []
  authority:
    description: Certificates of the authority in PEM; empty in check mode, before there is one.
    type: str
    required: true
  signed:
    description:
      - What M(kijun.baseline.certificate_authority) signed, of all hosts; the controller's part of this module takes
        this host's.
    type: dict
    default: {}
  refused:
    description: What it refused, of all hosts. One of this host's fails the step, after the others are in place.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says what would be renewed.
    support: full
  diff_mode:
    description: Shows which certificates change and until when they last; never a key.
    support: full
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.certificate_authority
"""

EXAMPLES = r"""
- name: Look which certificates the host needs
  kijun.baseline.certificates:
    authority: "{{ made.authority }}"
    wanted:
      - {name: logs, names: [server12.example.com], units: [rsyslog.service]}
  register: state
"""

RETURN = r"""
requests:
  description: Certificates that are to be signed.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: "host and name, as C(server12/logs)", type: str}
    csr: {description: "request in PEM; empty in check mode, where no key is made", type: str}
    names: {description: who may show it, type: list, elements: str}
    usages: {description: what it is for, type: list, elements: str}
    days: {description: how long it lives, type: int}
    why: {description: why it is wanted anew, type: str}
installed:
  description: Certificates that were put in place.
  returned: success
  type: list
  elements: str
"""

import contextlib
import json
import os
import pwd
import stat
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.certificates import (
    Certificate,
    CertificateError,
    make_key,
    openssl,
    public_key,
    read,
    signed_by,
    subject_name,
)
from ..module_utils.file_state import FileTransactionError
from ..module_utils.file_transaction import FileTransaction

WAITING = "/var/lib/kijun/certificates"
"""Keys that wait for their certificate, and units that are still to read theirs."""

SPEC = {
    "folder": {"type": "path", "default": "/etc/kijun/certificates"},
    "wanted": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "usages": {
                "type": "list",
                "elements": "str",
                "choices": ["server", "client"],
                "default": ["server", "client"],
            },
            "owner": {"type": "str", "default": "root"},
            "days": {"type": "int", "default": 90},
            "units": {"type": "list", "elements": "str", "default": []},
        },
    },
    "authority": {"type": "str", "required": True},
    "signed": {"type": "dict", "default": {}},
    "refused": {"type": "dict", "default": {}},
}

Wish = dict[str, Any]
"""An entry of wanted."""


class Keeper:
    """A host's certificates.

    Args:
        folder: where they are.
        authority: whose certificates they are to be: its own, in PEM.
        check: change nothing.
    """

    def __init__(self, folder: str, authority: str, check: bool) -> None:
        self.folder = folder
        self.authority = authority
        self.check = check
        self.units_path = os.path.join(WAITING, "units.json")

    def path(self, name: str) -> str:
        """A file of the folder."""
        return os.path.join(self.folder, name)

    def present(self, name: str) -> Certificate:
        """The certificate that is there.

        Raises:
            CertificateError: there is none.
        """
        return read(self.text(name + ".crt"))

    def text(self, name: str) -> str:
        """The text of a file of the folder; empty when there is none."""
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def why(self, wish: Wish, now: float) -> str:
        """Why a certificate is wanted anew; empty when it is as it should be."""
        if not self.text(wish["name"] + ".crt"):
            return "there is none"
        try:
            there = self.present(wish["name"])
            if public_key(self.path(wish["name"] + ".key")) != there.public_key:
                return "it does not fit its key"
        except CertificateError as error:
            return str(error)
        if not signed_by(self.text(wish["name"] + ".crt"), self.authority):
            return "it is not the authority's, or its time is over"
        if there.names != {subject_name(name) for name in wish["names"]} or there.usages != set(wish["usages"]):
            return "it is for other names or uses"
        if there.due(now):
            return "it ends on %s" % time.strftime("%Y-%m-%d", time.gmtime(there.ends))
        return ""

    def request(self, wish: Wish) -> str:
        """A request for a certificate, with a key that waits for it; both are made when they are needed."""
        if self.check:
            return ""
        os.makedirs(WAITING, mode=0o700, exist_ok=True)
        key = os.path.join(WAITING, wish["name"] + ".key")
        try:
            public_key(key)
        except CertificateError:
            make_key(key)
        return openssl("req", "-new", "-key", key, "-subj", "/CN=%s" % wish["names"][0])

    def files(self, wish: Wish, pem: str) -> list[dict[str, Any]]:
        """Files that a signed certificate needs.

        Raises:
            CertificateError: it is not what was asked for.
        """
        waiting = os.path.join(WAITING, wish["name"] + ".key")
        if read(pem).public_key != public_key(waiting):
            raise CertificateError("%s: the signed certificate is not for the key that waits for it" % wish["name"])
        with open(waiting, encoding="utf-8") as file:
            key = file.read()
        return [
            self.file(wish["name"] + ".crt", pem),
            self.file(wish["name"] + ".key", key, owner=wish["owner"], mode="0600", secret=True),
        ]

    def file(self, name: str, content: str, **other: Any) -> dict[str, Any]:
        """A file of the folder, as a transaction takes it."""
        usual = {"owner": "root", "group": "root", "mode": "0644", "secret": False}
        return {
            "path": self.path(name),
            "state": "file",
            "content": content.encode(),
            "settings": None,
            "separator": " ",
            "validate": None,
            **usual,
            **other,
        }

    def opened(self, wish: Wish) -> bool:
        """Whether the key is another one's than its owner's, or open to others."""
        try:
            info = os.stat(self.path(wish["name"] + ".key"))
        except FileNotFoundError:
            return False
        return stat.S_IMODE(info.st_mode) != 0o600 or info.st_uid != pwd.getpwnam(wish["owner"]).pw_uid

    def pending_units(self) -> list[str]:
        """Units that an earlier run, or this one, did not come to."""
        try:
            with open(self.units_path, encoding="utf-8") as file:
                return list(json.load(file))
        except (OSError, ValueError):
            return []

    def remember_units(self, units: list[str]) -> None:
        """Note units before what they use changes."""
        os.makedirs(WAITING, mode=0o700, exist_ok=True)
        with open(self.units_path + ".new", "w", encoding="utf-8") as file:
            json.dump(sorted(set(units)), file)
        os.replace(self.units_path + ".new", self.units_path)

    @staticmethod
    def systemctl(verb: str, unit: str) -> subprocess.CompletedProcess[str]:
        """Call systemctl(1)."""
        return subprocess.run(
            ["systemctl", verb, "--", unit], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    def reload_units(self) -> None:
        """Have the units that run read what has changed.

        Raises:
            CertificateError: one did not take it.
        """
        for unit in self.pending_units():
            if self.systemctl("is-active", unit).returncode == 0:
                done = self.systemctl("reload-or-restart", unit)
                if done.returncode:
                    raise CertificateError("systemctl reload-or-restart %s: %s" % (unit, done.stderr.strip()))
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.units_path)


def until(pem: str) -> str:
    """A certificate in a line."""
    try:
        there = read(pem)
    except CertificateError:
        return "not a certificate"
    return "%s until %s" % (
        ", ".join(sorted(there.names)),
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(there.ends)),
    )


def main() -> None:
    """Ask, or put in place."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    wanted, authority, signed = module.params["wanted"], module.params["authority"], module.params["signed"]
    keeper = Keeper(module.params["folder"], authority, module.check_mode)
    try:
        result = install(keeper, wanted, signed) if signed else look(keeper, wanted)
    except (CertificateError, FileTransactionError, OSError) as error:
        module.fail_json(msg=str(error))
    if module.params["refused"]:
        reasons = ["%s: %s" % entry for entry in sorted(module.params["refused"].items())]
        module.fail_json(msg="the authority refused %s" % "; ".join(reasons), **result)
    module.exit_json(**result)


def look(keeper: Keeper, wanted: list[Wish]) -> dict[str, Any]:
    """Say which certificates are to be signed, and bring to an end what a killed run left."""
    now = time.time()
    reasons = {wish["name"]: keeper.why(wish, now) for wish in wanted}
    requests = [
        {"name": wish["name"], "csr": keeper.request(wish), "why": reasons[wish["name"]]}
        for wish in wanted
        if reasons[wish["name"]]
    ]
    pending, opened = keeper.pending_units(), [wish for wish in wanted if keeper.opened(wish)]
    if not keeper.check:
        for wish in opened:
            os.chown(keeper.path(wish["name"] + ".key"), pwd.getpwnam(wish["owner"]).pw_uid, 0)
            os.chmod(keeper.path(wish["name"] + ".key"), 0o600)
        if pending and not requests:
            keeper.reload_units()
    if not requests and keeper.authority and keeper.text("authority.crt") != keeper.authority:
        return install(keeper, wanted, {})
    return {
        "changed": bool(opened or (pending and not requests) or (keeper.check and requests)),
        "requests": requests,
        "installed": [],
    }


def install(keeper: Keeper, wanted: list[Wish], signed: dict[str, str]) -> dict[str, Any]:
    """Put what was signed in place, and the authority beside it, together."""
    chosen = [wish for wish in wanted if wish["name"] in signed]
    files = [keeper.file("authority.crt", keeper.authority)]
    before = "".join("%s: %s\n" % (w["name"], until(t)) for w in chosen if (t := keeper.text(w["name"] + ".crt")))
    for wish in chosen:
        files += keeper.files(wish, signed[wish["name"]])
    trusts_anew = keeper.text("authority.crt") != keeper.authority
    if not keeper.check:
        concerned = wanted if trusts_anew else chosen
        keeper.remember_units(keeper.pending_units() + [unit for wish in concerned for unit in wish["units"]])
    outcome = FileTransaction(os.path.join(WAITING, "transaction")).run(files, [], [], [], 1, keeper.check)
    if not keeper.check:
        for wish in chosen:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(WAITING, wish["name"] + ".key"))
        keeper.reload_units()
    return {
        "changed": bool(outcome.changes),
        "requests": [],
        "installed": [wish["name"] for wish in chosen],
        "diff": {
            "before": before,
            "after": "".join("%s: %s\n" % (w["name"], until(signed[w["name"]])) for w in chosen),
        },
    }


if __name__ == "__main__":
    main()
