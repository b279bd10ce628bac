# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PAM configuration as a whole does: locking, quality and history of passwords."""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from . import pam_stack
from .host import Host, Settings, number_or_text
from .pam_stack import Decision, Step, decide, flat

ANOTHER_SOURCE = (
    "pam_sss.so",
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_winbind.so",
    "pam_systemd_home.so",
    "pam_fprintd.so",
    "pam_rootok.so",
    "pam_wheel.so",
    "pam_deny.so",
    "pam_u2f.so",
)
"""Modules taken to refuse the ordinary user who is tried: they know nobody, or only root."""

GUARDS = {"without_quality_check": "pam_pwquality.so", "without_history": "pam_pwhistory.so"}
"""Fact -> module without which, or against whose refusal, a new password is set."""

STRUCTURAL = {
    "pam_faillock.so": ("preauth", "authfail", "authsucc"),
    "pam_pwquality.so": ("retry", "use_authtok", "try_first_pass", "use_first_pass"),
}
"""Arguments that say a module's place in the stack and override no setting of its file."""

FAILLOCK_DEFAULTS: dict[str, Any] = {"dir": "/var/run/faillock", "deny": 3, "fail_interval": 900, "unlock_time": 600}
"""faillock.conf(5)."""

PWQUALITY_DEFAULTS: dict[str, Any] = {
    "difok": 1,
    "minlen": 8,
    "dcredit": 0,
    "ucredit": 0,
    "lcredit": 0,
    "ocredit": 0,
    "minclass": 0,
    "maxrepeat": 0,
    "maxsequence": 0,
    "maxclassrepeat": 0,
    "gecoscheck": 0,
    "dictcheck": 1,
    "usercheck": 1,
    "usersubstr": 0,
    "enforcing": 1,
    "retry": 1,
}
"""pwquality.conf(5)."""


def _refuses_exempt_user(step: Step) -> bool:
    """Whether pam_succeed_if asks for a list of named users, which the ordinary user is not on."""
    return re.search(r"\buser (in|=|ingroup) ", " ".join(step.arguments)) is not None


def _attempt(unix: str, faillock: str) -> Callable[[Step], str]:
    """What modules return when an ordinary user gives a password.

    Args:
        unix: what pam_unix says of the password.
        faillock: what pam_faillock says of the account before and after.
    """

    def outcome(step: Step) -> str:
        if step.module == "pam_unix.so":
            return unix
        if step.module == "pam_faillock.so":
            return "auth_err" if "authfail" in step.arguments else faillock
        if step.module in ANOTHER_SOURCE:
            return "auth_err"
        if step.module == "pam_succeed_if.so" and _refuses_exempt_user(step):
            return "auth_err"
        return "success"

    return outcome


WRONG_PASSWORD = _attempt("auth_err", "success")
RIGHT_PASSWORD = _attempt("success", "success")
LOCKED_ACCOUNT = _attempt("success", "auth_err")
DUE_CHANGE = _attempt("new_authtok_reqd", "success")
EXPIRED_ACCOUNT = _attempt("acct_expired", "success")


def _lockout_gap(auth: list[Step], account: list[Step]) -> str:
    """Why failures would not lock an account in this service; empty when they would."""
    if "pam_faillock.so authfail" not in decide(auth, WRONG_PASSWORD).called:
        return "a failure is not counted"
    if decide(auth, LOCKED_ACCOUNT).granted:
        return "a locked account is let in"
    cleared = decide(auth, RIGHT_PASSWORD).called + [step.label for step in flat(account)]
    if not any(label in ("pam_faillock.so authsucc", "pam_faillock.so") for label in cleared):
        return "a success does not clear the count"
    return ""


def _change(refusing: str) -> Callable[[Step], str]:
    """What modules return when a password is set that one module refuses."""

    def outcome(step: Step) -> str:
        if step.module == refusing:
            return "authtok_err"
        return "auth_err" if step.module in ANOTHER_SOURCE else "success"

    return outcome


def _gap(password: list[Step], module: str) -> str:
    """Why a password that the module refuses would be set all the same; empty when it would not."""
    if module not in [step.module for step in flat(password)]:
        return "%s is not in its stack" % module
    decision: Decision = decide(password, _change(module))
    if decision.granted:
        return "its refusal is not heeded"
    if "pam_unix.so" in decision.called:
        return "the password is set although it refuses"
    return ""


def _has(steps: list[Step], module: str) -> bool:
    return any(step.module == module for step in flat(steps))


def _described(steps: list[Step]) -> dict[str, Any]:
    options: dict[str, list[str]] = {}
    for step in flat(steps):
        options.setdefault(step.module, []).extend(step.arguments)
    return {"modules": [step.label for step in flat(steps)], "options": options}


def pam(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read every service and work out where a wrong, weak or old password would get through."""
    reader = pam_stack.Reader(host)
    result: dict[str, Any] = {
        "without_lockout": {},
        "accepting_wrong_passwords": [],
        "accepting_empty_passwords": [],
        "ignoring_a_due_change": [],
        "ignoring_expired_accounts": [],
        "without_quality_check": {},
        "without_history": {},
    }
    for service in reader.services():
        stacks = {kind: reader.stack(service, kind) for kind in ("auth", "account", "password", "session")}
        if _has(stacks["auth"], "pam_unix.so"):
            if decide(stacks["auth"], WRONG_PASSWORD).granted:
                result["accepting_wrong_passwords"].append(service)
            gap = _lockout_gap(stacks["auth"], stacks["account"])
            if gap:
                result["without_lockout"][service] = gap
            if any("nullok" in s.arguments for s in flat(stacks["auth"]) if s.module == "pam_unix.so"):
                result["accepting_empty_passwords"].append(service)
            if decide(stacks["account"], DUE_CHANGE).result != "new_authtok_reqd":
                result["ignoring_a_due_change"].append(service)
            if decide(stacks["account"], EXPIRED_ACCOUNT).granted:
                result["ignoring_expired_accounts"].append(service)
        if _has(stacks["password"], "pam_unix.so"):
            for name, module in GUARDS.items():
                gap = _gap(stacks["password"], module)
                if gap:
                    result[name][service] = gap
        if service in keys:
            result[service] = {kind: _described(stacks[kind]) for kind in ("auth", "account", "password")}
    result["malformed"] = host.problems_in(*pam_stack.FOLDERS)
    return result


def _arguments(host: Host, kind: str, module: str) -> dict[str, list[list[str]]]:
    """Service -> the arguments of each line of that module in that service's stack."""
    reader = pam_stack.Reader(host)
    found = {}
    for service in reader.services():
        lines = [step.arguments for step in flat(reader.stack(service, kind)) if step.module == module]
        if lines:
            found[service] = lines
    return found


def _settings(text: str) -> dict[str, Any]:
    """The settings of a file of ``key = value`` lines and bare words, as faillock.conf and pwquality.conf have them."""
    values: dict[str, Any] = {}
    for line in text.splitlines():
        key, separator, value = (part.strip() for part in line.split("#", 1)[0].partition("="))
        if key:
            values[key] = number_or_text(value) if separator else True
    return values


def _overrides(host: Host, kind: str, module: str) -> list[str]:
    return sorted(
        {
            "%s: %s" % (service, argument)
            for service, lines in _arguments(host, kind, module).items()
            for line in lines
            for argument in line
            if argument.partition("=")[0] not in STRUCTURAL[module]
        }
    )


def faillock(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what pam_faillock uses."""
    values = Settings({**FAILLOCK_DEFAULTS, **_settings(host.read_if_there("/etc/security/faillock.conf"))})
    values["overrides"] = _overrides(host, "auth", "pam_faillock.so")
    return values


def pwquality(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what pam_pwquality uses: drop-ins in the order of their names, then the main file, pwquality.conf(5)."""
    folder = "/etc/security/pwquality.conf.d"
    try:
        drop_ins = sorted(n for n in os.listdir(host.path(folder)) if n.endswith(".conf"))
    except FileNotFoundError:
        drop_ins = []
    values = Settings(PWQUALITY_DEFAULTS)
    for path in ["%s/%s" % (folder, name) for name in drop_ins] + ["/etc/security/pwquality.conf"]:
        values.update(_settings(host.read_if_there(path)))
    values["overrides"] = _overrides(host, "password", "pam_pwquality.so")
    return values


def pwhistory(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what pam_pwhistory uses: pwhistory.conf(5) where there is one, overridden by each line's arguments."""
    base = {"remember": 10, **_settings(host.read_if_there("/etc/security/pwhistory.conf"))}
    each = [
        {**base, **_settings("\n".join(line))}
        for lines in _arguments(host, "password", "pam_pwhistory.so").values()
        for line in lines
    ]
    return {
        "remember": min((settings["remember"] for settings in each), default=None),
        "enforce_for_root": bool(each) and all(settings.get("enforce_for_root") for settings in each),
    }
