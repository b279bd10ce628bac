# SPDX-License-Identifier: GPL-3.0-or-later
"""The account ledger as this host knows it, and where the host has drifted from it.

The step that applies the ledger leaves on each host what the ledger said; so drift is seen without the ledger.
"""

from __future__ import annotations

import time
from typing import Any

from ..host_accounts import sudo
from ..host_accounts.state import read_record, read_state
from .host import Host

Json = dict[str, Any]

LOCKED = ("locked",)
"""States of a password that somebody has locked."""


def _is_open(account: Json, today: int) -> bool:
    """Whether somebody can log in to an account: it has a password or a key, and has not expired."""
    expired = account["expires"] is not None and account["expires"] <= today
    return not expired and (account["password"] in ("usable", "empty") or bool(account["keys"]))


def _differing(account: Json, wanted: Json) -> list[str]:
    """What of an account that is to be there is not as the ledger said."""
    found = {
        "groups": set(account["groups"]) == set(wanted["groups"]),
        "sudo": sorted(map(sudo.normalised, account["sudo"])) == sorted(wanted["sudo"]),
        "keys": {key["fingerprint"] for key in account["keys"]} == set(wanted["keys"])
        and account["unreadable_keys"] is None,
        "shell": account["shell"] == wanted["shell"],
        "expires": account["expires"] == wanted["expires"],
        "locked": account["password"] not in LOCKED,
    }
    return [what for what, same in found.items() if not same]


def _still_open(account: Json, today: int) -> list[str]:
    """What of an account that is to be locked was not withdrawn."""
    found = {
        "password": account["password"] in ("usable", "empty"),
        "keys": bool(account["keys"]) or account["unreadable_keys"] is not None,
        "expires": account["expires"] is None or account["expires"] > today,
        "sudo": bool(account["sudo"]),
        "sessions": bool(account["sessions"] or account["processes"]),
        "cron": account["cron"],
        "at": bool(account["at"]),
    }
    return [what for what, there in found.items() if there]


def _unused_days(account: Json, wanted: Json | None, now: int) -> int | None:
    """Days since the last login; since an account began where nobody has logged in; None where neither is known."""
    times = [account["last_login"], account["created"], wanted["since"] * 86400 if wanted else None]
    known = [moment for moment in times if moment]
    if account["sessions"]:
        return 0
    return max(0, now - max(known)) // 86400 if known else None


def _shared(accounts: list[Json]) -> dict[str, list[str]]:
    holders: dict[str, list[str]] = {}
    for account in accounts:
        for fingerprint in dict.fromkeys(key["fingerprint"] for key in account["keys"]):
            holders.setdefault(fingerprint, []).append(account["name"])
    return {fingerprint: names for fingerprint, names in holders.items() if len(names) > 1}


def ledger(host: Host, keys: set[str]) -> dict[str, Any]:
    """Compare the host with what the ledger said when it was applied last."""
    applied = read_record(host)
    record: dict[str, Json] = applied.get("accounts", {})
    state = read_state(host)
    now = int(time.time())
    today = now // 86400
    accounts = {account["name"]: account for account in state["accounts"]}
    people = {name: account for name, account in accounts.items() if not account.get("system")}
    present = {name: wanted for name, wanted in record.items() if wanted["state"] == "present"}
    differing = {n: _differing(accounts[n], wanted) for n, wanted in present.items() if n in accounts}
    withdrawn = {
        name: ["account"] if wanted["state"] == "absent" else _still_open(accounts[name], today)
        for name, wanted in record.items()
        if name not in present and name in accounts
    }
    return {
        "present": "accounts" in applied,
        "unregistered": [name for name in people if name not in record],
        "missing": [name for name in present if name not in accounts],
        "differing": {name: what for name, what in differing.items() if what},
        "not_withdrawn": {name: what for name, what in withdrawn.items() if what},
        "shared_keys": _shared(state["accounts"]),
        "unused": {
            name: _unused_days(account, record.get(name), now)
            for name, account in people.items()
            if _is_open(account, today)
        },
        "never_changed": {
            name: today - wanted["issued"]
            for name, wanted in present.items()
            if wanted.get("issued") is not None and name in accounts and accounts[name]["must_change"]
        },
    }
