# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PAM configuration as a whole does: locking, quality and history of passwords."""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from . import pam_stack
from .host import Host, Settings, lines, number_or_text
from .pam_stack import Decision, Step, decide, flat
from .system import operating_system

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
    "pam_google_authenticator.so",
)
"""Modules taken to refuse the ordinary user who is tried: they know nobody, or only root."""

BYSTANDERS = ("pam_faildelay.so", "pam_env.so", "pam_group.so", "pam_mail.so", "pam_motd.so", "pam_nologin.so")
"""Modules that speak neither for nor against a user: they return PAM_IGNORE."""

WITHOUT_PASSWORD = re.compile(r"gdm-launch-environment|[\w-]+-(greeter|autologin)")
"""Services that show a login screen, or log in whom a display manager's own settings name: no password is asked."""

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


PWHISTORY_DEFAULTS: dict[str, Any] = {"remember": 10, "file": "/etc/security/opasswd"}
"""pam_pwhistory(8). Debian 12 has no pwhistory.conf(5)."""


def _attempt(unix: str, faillock: str, named: Callable[[Step], bool] = lambda step: False) -> Callable[[Step], str]:
    """What modules return when a user gives a password.

    Args:
        unix: what pam_unix says of the password.
        faillock: what pam_faillock says of the account before and after.
        named: whether the user is among those that a module lets in by name or group; an ordinary user is not.
    """

    def outcome(step: Step) -> str:
        if step.module == "pam_unix.so":
            return unix
        if step.module == "pam_faillock.so":  # having counted a failure it speaks neither for nor against
            return "ignore" if "authfail" in step.arguments and faillock == "success" else faillock
        if _asks_for_names(step):
            return "success" if named(step) else "auth_err"
        if step.module in ANOTHER_SOURCE:
            return "auth_err"
        return "ignore" if step.module in BYSTANDERS else "success"

    return outcome


WRONG_PASSWORD = _attempt("auth_err", "success")
RIGHT_PASSWORD = _attempt("success", "success")
LOCKED_ACCOUNT = _attempt("success", "auth_err")
DUE_CHANGE = _attempt("new_authtok_reqd", "success")
EXPIRED_ACCOUNT = _attempt("acct_expired", "success")


def _asks_for_names(step: Step) -> bool:
    """Whether a module lets in users of a list or group, which the ordinary user is not on."""
    if step.module == "pam_succeed_if.so":
        return re.search(r"\buser (in|=|ingroup) ", " ".join(step.arguments)) is not None
    return step.module == "pam_wheel.so" and "trust" in step.arguments


def _wrong_password_of_named(host: Host) -> Callable[[Step], str]:
    """What modules return when a user whom they let in by name gives a wrong password."""
    groups = {line.split(":")[0] for line in lines(host.read_if_there("/etc/group")) if line.split(":")[-1]}

    def named(step: Step) -> bool:
        asked = re.search(r"\buser ingroup (\S+)", " ".join(step.arguments))
        return not asked or not groups.isdisjoint(asked.group(1).split(":"))

    return _attempt("auth_err", "success", named)


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


def _takes_empty(auth: list[Step]) -> bool:
    options = {argument for step in flat(auth) if step.module == "pam_unix.so" for argument in step.arguments}
    return bool(options & {"nullok", "nullok_secure"})


def _described(steps: list[Step]) -> dict[str, Any]:
    options: dict[str, list[str]] = {}
    for step in flat(steps):
        options.setdefault(step.module, []).extend(step.arguments)
    return {"modules": [step.label for step in flat(steps)], "options": options}


def pam(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read every service and work out where a wrong, weak or old password would get through."""
    reader = pam_stack.Reader(host)
    wrong_of_named = _wrong_password_of_named(host)
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
        attempts = (decide(stacks["auth"], outcome) for outcome in (WRONG_PASSWORD, wrong_of_named))
        if any(attempt.granted for attempt in attempts) and not WITHOUT_PASSWORD.fullmatch(service):
            result["accepting_wrong_passwords"].append(service)
        if _has(stacks["auth"], "pam_unix.so"):
            gap = _lockout_gap(stacks["auth"], stacks["account"])
            if gap:
                result["without_lockout"][service] = gap
            if _takes_empty(stacks["auth"]):
                result["accepting_empty_passwords"].append(service)
            account = stacks["account"] or reader.stack("other", "account")  # as libpam does
            if decide(account, DUE_CHANGE).result != "new_authtok_reqd":
                result["ignoring_a_due_change"].append(service)
            if decide(account, EXPIRED_ACCOUNT).granted:
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
        arguments = [step.arguments for step in flat(reader.stack(service, kind)) if step.module == module]
        if arguments:
            found[service] = arguments
    return found


def _settings(text: str) -> dict[str, Any]:
    """The settings of faillock.conf, pwquality.conf or pwhistory.conf: a name, and after a blank or ``=`` its value."""
    values: dict[str, Any] = {}
    for line in lines(text):
        match = re.match(r"([^\s=]+)(?:\s*=\s*|\s+|$)(.*)", line.split("#", 1)[0].strip())
        if match:
            values[match.group(1)] = number_or_text(match.group(2)) if match.group(2) else True
    return values


def _overrides(host: Host, kind: str, module: str) -> list[str]:
    return sorted(
        {
            "%s: %s" % (service, argument)
            for service, each in _arguments(host, kind, module).items()
            for line in each
            for argument in line
            if argument.partition("=")[0] not in STRUCTURAL[module]
        }
    )


def faillock(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what pam_faillock uses."""
    values = Settings({**FAILLOCK_DEFAULTS, **_settings(host.read_if_there("/etc/security/faillock.conf"))})
    for key in ("unlock_time", "root_unlock_time"):
        if values[key] == "never":
            values[key] = 0
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
    reads_file = operating_system(host, set())["version_id"] != "12"
    each = []
    for line in (line for found in _arguments(host, "password", "pam_pwhistory.so").values() for line in found):
        arguments = _settings("\n".join(line))
        conf = str(arguments.get("conf", "/etc/security/pwhistory.conf"))
        each.append({**PWHISTORY_DEFAULTS, **(_settings(host.read_if_there(conf)) if reads_file else {}), **arguments})
    return {
        "remember": min((settings["remember"] for settings in each), default=None),
        "files": sorted({str(settings["file"]) for settings in each}),
        "enforce_for_root": bool(each) and all(settings.get("enforce_for_root") for settings in each),
    }
