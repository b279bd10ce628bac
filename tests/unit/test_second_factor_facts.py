# SPDX-License-Identifier: GPL-3.0-or-later
"""Who needs a code at a PC's own logins, by the PAM files of role workstation and Debian's gdm3; and ways round it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.pam import pam
from ansible_collections.kijun.baseline.plugins.module_utils.facts.second_factor import second_factor
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sshd import SECRETS

HostWith = Callable[[dict[str, str]], Host]
Facts = Callable[..., dict[str, Any]]

ROLES = Path(__file__).parents[2] / "roles"
KEY = "operators:managers at login:gdm-password without root:breakglass"
CODE = "@include kijun-workstation-code\n"
CLOSED = "@include kijun-workstation-closed\n"
SESSION = "session\trequired\tpam_loginuid.so\n@include common-session\n"
LOGIN = f"auth optional pam_faildelay.so delay=3000000\n{CODE}@include common-auth\n@include common-account\n{SESSION}"
# As gdm3 43 and 48 have them.
GDM = "auth requisite pam_nologin.so\nauth required pam_succeed_if.so user != root quiet_success\n"
GDM_PASSWORD = (
    f"{GDM}{CODE}@include common-auth\nauth optional pam_gnome_keyring.so\n@include common-account\n{SESSION}"
)
GDM_FINGERPRINT = f"{CLOSED}{GDM}auth required pam_fprintd.so\n@include common-account\n{SESSION}"
CARD = "auth [success=ok user_unknown=ignore default=bad] pam_succeed_if.so user != root quiet_success\n"
CARD_OR_PASSWORD = f"""\
{CLOSED}{CARD}auth [success=2 default=ignore] pam_sss.so allow_missing_name try_cert_auth
auth substack common-auth
auth requisite pam_nologin.so
{SESSION}"""
CARD_ALONE = f"{CARD}auth required pam_sss.so allow_missing_name require_cert_auth\n{SESSION}"
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
breakglass:x:1000:1000::/home/breakglass:/bin/bash
worker:x:1001:1001::/home/worker:/bin/bash
operator1:x:1002:60::/home/operator1:/bin/bash
manager1:x:1003:1003::/home/manager1:/bin/bash
daemon:x:1:60::/:/usr/sbin/nologin
"""
GROUP = "root:x:0:\noperators:x:60:breakglass\nmanagers:x:61:manager1\n"
EVERYBODY = ["operator1", "manager1", "others of managers", "others of operators"]


def text(name: str) -> str:
    """A PAM file of the role's, as it comes out."""
    template = (ROLES / "workstation/templates" / name).read_text(encoding="utf-8")
    made = jinja2.Template(template, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return made.render(
        __workstation_without_code="root:breakglass",
        __workstation_code_groups="operators:managers",
        __workstation_secrets=SECRETS,
    )


@pytest.fixture
def tree(pam_tree: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The files of a PC, everybody enrolled."""
    return {
        **pam_tree(13, "kijun", login=LOGIN, gdm_password=GDM_PASSWORD, gdm_fingerprint=GDM_FINGERPRINT),
        "/etc/pam.d/kijun-workstation-code": text("pam-code.j2"),
        "/etc/pam.d/kijun-workstation-closed": text("pam-closed.j2"),
        "/etc/pam.d/gdm-smartcard-sssd-or-password": CARD_OR_PASSWORD,
        "/etc/pam.d/gdm-smartcard-sssd-exclusive": CARD_ALONE,
        "/etc/pam.d/gdm-autologin": f"auth required pam_permit.so\n{SESSION}",
        "/etc/passwd": PASSWD,
        "/etc/group": GROUP,
        f"{SECRETS}/operator1": "secret\n",
        f"{SECRETS}/manager1": "secret\n",
    }


@pytest.fixture
def facts(host_with: HostWith, tree: dict[str, str]) -> Facts:
    """Read the fact, with some files changed."""

    def read(changed: dict[str, str] | None = None, key: str = KEY) -> dict[str, Any]:
        found: dict[str, Any] = second_factor(host_with({**tree, **(changed or {})}), {key})[key]
        return found

    return read


def test_members_need_a_code_everywhere_and_root_nowhere(facts: Facts) -> None:
    found = facts()
    del found["open_secrets"]  # of the tests' own user
    assert found == {
        "without": {},
        "asking": ["gdm-password", "login"],
        "shut_out": {},
        "not_enrolled": [],
        "nobody": False,
    }


def test_passwords_are_held_to_what_they_were(host_with: HostWith, tree: dict[str, str]) -> None:
    found = pam(host_with(tree), set())
    assert {name: found[name] for name in ("accepting_wrong_passwords", "without_lockout", "malformed")} == {
        "accepting_wrong_passwords": [],
        "without_lockout": {},
        "malformed": [],
    }


WAYS = {
    "the line is taken out": ("login", LOGIN.replace(CODE, ""), ["login"]),
    "it comes after the password": ("login", LOGIN.replace(CODE, "auth sufficient pam_unix.so\n" + CODE), ["login"]),
    "something lets everybody in before it": ("login", "auth sufficient pam_permit.so\n" + LOGIN, ["login"]),
    "a fingerprint": ("gdm-fingerprint", GDM_FINGERPRINT.replace(CLOSED, ""), ["gdm-fingerprint"]),
    "a password where a card may be": (
        "gdm-smartcard-sssd-or-password",
        CARD_OR_PASSWORD.replace(CLOSED, ""),
        ["gdm-smartcard-sssd-or-password"],
    ),
    "another display manager": ("lightdm", f"@include common-auth\n{SESSION}", ["lightdm"]),
    "the secret is the user's own": (
        "kijun-workstation-code",
        text("pam-code.j2").replace(f"secret={SECRETS}/${{USER}} ", ""),
        ["gdm-password", "login"],
    ),
    "who has no secret gets in": (
        "kijun-workstation-code",
        text("pam-code.j2").replace("noskewadj", "nullok"),
        ["gdm-password", "login"],
    ),
    "one hour of the day": ("login", "auth sufficient pam_succeed_if.so quiet service = login\n" + LOGIN, ["login"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_round_it_are_named(facts: Facts, way: str) -> None:
    service, changed, named = WAYS[way]
    without = facts({f"/etc/pam.d/{service}": changed})["without"]
    assert {service: sorted(names) for service, names in without.items()} == dict.fromkeys(named, sorted(EVERYBODY))


def test_people_and_groups_that_are_let_by_are_named(facts: Facts) -> None:
    own = "auth sufficient pam_succeed_if.so quiet user in manager1\n"
    assert facts({"/etc/pam.d/login": own + LOGIN})["without"] == {"login": ["manager1"]}
    fewer = text("pam-code.j2").replace("operators:managers", "operators")
    without = facts({"/etc/pam.d/kijun-workstation-code": fewer})["without"]
    assert without["login"] == ["manager1", "others of managers"]
    assert without.keys() == {"login", "gdm-password"}


def test_who_is_for_emergencies_and_is_asked_all_the_same_is_named(facts: Facts) -> None:
    asked = text("pam-code.j2").replace("user in root:breakglass", "user in root")
    assert facts({"/etc/pam.d/kijun-workstation-code": asked})["shut_out"] == {
        "gdm-password": ["breakglass"],
        "login": ["breakglass"],
    }


def test_who_has_no_secret_is_named_and_a_service_that_was_added_is_looked_at(
    facts: Facts, tree: dict[str, str]
) -> None:
    del tree[f"{SECRETS}/manager1"]
    found = facts(key=KEY.replace("login:", "sudo:"))
    assert found["not_enrolled"] == ["manager1"]
    assert found["without"].keys() == {"sudo"}


def test_no_group_asks_nobody(facts: Facts) -> None:
    found = facts(key="- at login without root")
    assert (found["without"], found["nobody"], found["not_enrolled"]) == ({}, True, [])


def test_both_roles_and_the_audit_mean_the_same_secrets() -> None:
    for role in ("ssh", "workstation"):
        variables = yaml.safe_load((ROLES / role / "vars/main.yml").read_text(encoding="utf-8"))
        assert variables[f"__{role}_secrets"] == SECRETS
