# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about privileges: sudo, su, utilities, cron, polkit, root and the system's accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import sudo as sudo_module
from ansible_collections.kijun.baseline.plugins.module_utils.facts.cron import cron
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.polkit import polkit
from ansible_collections.kijun.baseline.plugins.module_utils.facts.root import root, system_accounts
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sudo import su, sudo
from ansible_collections.kijun.baseline.plugins.module_utils.facts.utilities import CLASSES, resolve, utilities
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable

HostWith = Callable[[dict[str, str]], Host]

ACCOUNTS = {
    "/etc/passwd": "root:x:0:0::/root:/bin/bash\nworker:x:1000:1000::/home/worker:/bin/bash\n"
    "other:x:1001:27::/:/bin/sh\ngames:x:5:60::/:/usr/sbin/nologin\n",
    "/etc/shadow": "root:*:1::::::\nworker:*:1::::::\nother:*:1::::::\ngames:*:1::::::\n",
    "/etc/group": "root:x:0:\nsudo:x:27:worker\nkijun-su:x:900:worker\nworker:x:1000:\n",
    "/etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\nENV_SUPATH PATH=/usr/sbin:/usr/bin\n",
    "/etc/shells": "/bin/sh\n/bin/bash\n",
}
ALL = {"Host_List": [{"hostname": "ALL"}]}


def spec(user: dict[str, Any], *commands: dict[str, Any]) -> dict[str, Any]:
    return {"User_List": [user], "Cmnd_Specs": list(commands), **ALL}


EVERYTHING = {"runasusers": [{"username": "ALL"}], "Commands": [{"command": "ALL"}]}
UNASKED = {**EVERYTHING, "Options": [{"authenticate": False}]}


@pytest.fixture
def sudo_of(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The fact of a host whose cvtsudoers gives this."""

    def read(parsed: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(sudo_module, "_parsed", lambda host: (parsed, []))
        return sudo(host_with({**ACCOUNTS, "/etc/sudoers": json.dumps(parsed)}), set())

    return read


def test_the_last_line_for_everybody_holds_and_the_rest_is_built_in(sudo_of: Callable[..., Any]) -> None:
    found = sudo_of(
        {
            "Defaults": [
                {"Options": [{"passwd_tries": "9"}, {"use_pty": True}]},
                {"Options": [{"passwd_tries": "3"}, {"iolog_mode": "0600"}]},
                {"Options": [{"operation": "list_add", "env_keep": ["FOO"]}]},
            ]
        }
    )["defaults"]
    assert (found["passwd_tries"], found["use_pty"], found["iolog_mode"]) == (3, True, "0600")
    assert (found["timestamp_timeout"], found["log_output"], found["no_such"]) == (15, False, None)
    assert found["env_keep"] is None


@pytest.mark.parametrize(
    ("option", "weaker"),
    [
        ({"use_pty": False}, True),
        ({"use_pty": True}, False),
        ({"log_output": False}, True),
        ({"log_input": False}, False),
        ({"rootpw": True}, True),
        ({"passwd_tries": "4"}, True),
        ({"passwd_tries": "1"}, False),
        ({"timestamp_timeout": "0"}, False),
        ({"timestamp_timeout": "-1"}, True),
        ({"timestamp_timeout": "60"}, True),
        ({"secure_path": "/tmp"}, True),
        ({"lecture": "never"}, False),
    ],
)
def test_lines_for_some_that_are_weaker(sudo_of: Callable[..., Any], option: dict[str, Any], weaker: bool) -> None:
    everybody = {
        "Options": [{"use_pty": True}, {"log_output": True}, {"passwd_tries": "3"}, {"timestamp_timeout": "5"}]
    }
    found = sudo_of({"Defaults": [everybody, {"Binding": [{"usergroup": "ops"}], "Options": [option]}]})
    assert bool(found["weakened"]) is weaker
    if weaker:
        assert found["weakened"][0].startswith("%ops: ")


def test_who_is_asked_for_no_password(sudo_of: Callable[..., Any]) -> None:
    found = sudo_of(
        {
            "Defaults": [
                {"Binding": [{"username": "bound"}], "Options": [{"authenticate": False}]},
                {"Options": [{"exempt_group": "adm"}]},
            ],
            "User_Specs": [
                spec({"username": "root"}, UNASKED),
                spec({"usergroup": "ops"}, UNASKED),
                spec({"userid": 4711}, EVERYTHING, {**UNASKED, "Commands": [{"command": "/usr/bin/id"}]}),
                spec({"username": "asked"}, EVERYTHING),
            ],
        }
    )
    assert set(found["passwordless"]) == {"bound", "%adm", "%ops", "#4711"}
    assert found["passwordless"]["#4711"] == ["ALL=(ALL) NOPASSWD: /usr/bin/id"]
    assert sudo_of({"Defaults": [{"Options": [{"authenticate": False}]}]})["passwordless"].keys() == {"ALL"}


def test_administrators_and_side_doors(sudo_of: Callable[..., Any]) -> None:
    bash = {"runasusers": [{"username": "root"}], "Commands": [{"command": "/bin/bash -l"}]}
    found = sudo_of({"User_Specs": [spec({"usergroup": "sudo"}, EVERYTHING), spec({"username": "visitor"}, bash)]})
    assert found["administrators"] == ["worker", "other"]
    assert found["su_alike"] == {"visitor": ["ALL=(root) /bin/bash -l"]}


def test_rules_that_cannot_be_read_are_no_pass(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sudo_module, "_parsed", lambda host: (None, ["/etc/sudoers:3 syntax error"]))
    found = sudo(host_with({**ACCOUNTS, "/etc/sudoers": "x"}), set())
    assert isinstance(found["defaults"], Unreadable)
    assert isinstance(found["passwordless"], Unreadable)
    assert found["malformed"] == ["/etc/sudoers:3 syntax error"]


def test_a_host_without_sudo(host_with: HostWith) -> None:
    found = sudo(host_with(ACCOUNTS), set())
    assert (found["passwordless"], found["administrators"], found["malformed"]) == ({}, ["root"], [])
    assert found["defaults"]["use_pty"] is None


COMMON = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n"


@pytest.mark.parametrize(
    ("lines", "is_open", "group"),
    [
        ("auth sufficient pam_rootok.so\nauth required pam_wheel.so use_uid group=kijun-su\n", False, "kijun-su"),
        ("auth sufficient pam_rootok.so\nauth required pam_wheel.so\n", False, "wheel"),
        ("auth sufficient pam_rootok.so\n", True, None),
        ("auth sufficient pam_rootok.so\nauth sufficient pam_wheel.so trust group=kijun-su\n", True, None),
        ("auth sufficient pam_rootok.so\nauth optional pam_wheel.so group=kijun-su\n", True, "kijun-su"),
        ("auth sufficient pam_permit.so\nauth required pam_wheel.so group=kijun-su\n", True, "kijun-su"),
    ],
)
def test_whom_su_lets_through(host_with: HostWith, lines: str, is_open: bool, group: str | None) -> None:
    files = {"/etc/pam.d/su": lines + "@include common-auth\n", "/etc/pam.d/su-l": "auth include su\n"}
    found = su(host_with({**ACCOUNTS, **files, "/etc/pam.d/common-auth": COMMON}), set())
    assert (found["open"], found["group"]) == (is_open, group)
    assert found["members"] == (["worker"] if group == "kijun-su" else None)


def test_utilities_by_class_pattern_and_link(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with(
        dict.fromkeys(("/usr/bin/x86_64-linux-gnu-gcc-12", "/usr/bin/strace", "/opt/tool-1", "/opt/tool-2"), "")
    )
    (tmp_path / "usr/bin/gcc-12").symlink_to("x86_64-linux-gnu-gcc-12")
    (tmp_path / "usr/bin/gcc").symlink_to("gcc-12")
    (tmp_path / "opt/tool-1").chmod(0o750)
    assert resolve(host, ["compilers"]) == ["/usr/bin/x86_64-linux-gnu-gcc-12"]
    assert resolve(host, ["compilers"], excluded=["/usr/bin/gcc"]) == []
    key = "debuggers /opt/tool-* /opt/absent"
    found = utilities(host, {key})[key]
    assert found["present"] == ["/opt/tool-1", "/opt/tool-2", "/usr/bin/strace"]
    assert found["open"] == ["/opt/tool-2", "/usr/bin/strace"]
    with pytest.raises(ValueError, match="no class of utilities"):
        resolve(host, ["weapons"])


def test_a_link_to_what_everybody_needs_is_passed_over_in_a_class(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with({"/usr/bin/busybox": ""})
    (tmp_path / "usr/bin/nc").symlink_to("busybox")
    assert resolve(host, ["network"]) == []
    assert resolve(host, ["/usr/bin/nc"]) == ["/usr/bin/busybox"], "who names it himself is told"


def test_classes_hold_absolute_patterns() -> None:
    assert all(pattern.startswith("/usr/") for patterns in CLASSES.values() for pattern in patterns)


def test_cron(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with(
        {"/etc/cron.allow": "root\n\nworker\n", "/etc/cron.d/x": "", "/var/spool/cron/crontabs/worker": ""}
    )
    (tmp_path / "etc/cron.d").chmod(0o755)
    found = cron(host, set())
    assert (found["allow"], found["deny"], found["users"]) == (["root", "worker"], None, ["worker"])
    assert [entry.partition(":")[0] for entry in found["open"]] == ["/etc/cron.d"]
    (tmp_path / "etc/cron.d").chmod(0o700)
    assert cron(host, set())["open"] == []


DAEMON = {"/usr/lib/polkit-1/polkitd": ""}


@pytest.mark.parametrize(
    ("path", "text", "granting", "admins"),
    [
        ("/etc/polkit-1/rules.d/50-a.rules", "return polkit.Result.YES;", True, ["unix-user:0"]),
        ("/etc/polkit-1/rules.d/50-a.rules", 'return "yes";', True, ["unix-user:0"]),
        ("/etc/polkit-1/rules.d/50-a.rules", "// polkit.Result.YES\n/* polkit.Result.YES */", False, ["unix-user:0"]),
        ("/usr/share/polkit-1/rules.d/50-a.rules", "return polkit.Result.YES;", False, ["unix-user:0"]),
        ("/etc/polkit-1/localauthority/50-local.d/a.pkla", "[x]\nResultActive=yes\n", True, ["unix-user:0"]),
        (
            "/usr/share/polkit-1/rules.d/40-a.rules",
            'polkit.addAdminRule(function(action, subject) {\n return ["unix-group:sudo", "unix-user:x"];\n});',
            False,
            ["unix-group:sudo", "unix-user:x"],
        ),
    ],
)
def test_rules_of_polkit(host_with: HostWith, path: str, text: str, granting: bool, admins: list[str]) -> None:
    found = polkit(host_with({**DAEMON, path: text}), set())
    assert found["present"]
    assert found["granting"] == ([path] if granting else [])
    assert found["admins"] == admins


def test_the_first_admin_rule_by_name_holds(host_with: HostWith) -> None:
    def rule(name: str) -> str:
        return 'polkit.addAdminRule(function(a, s) { return ["%s"]; });' % name

    rules = {
        "/etc/polkit-1/rules.d/50-b.rules": rule("unix-user:b"),
        "/usr/share/polkit-1/rules.d/40-a.rules": rule("unix-user:a"),
    }
    assert polkit(host_with({**DAEMON, **rules}), set())["admins"] == ["unix-user:a"]


def test_a_host_without_polkit(host_with: HostWith) -> None:
    assert polkit(host_with({"/etc/passwd": ""}), set()) == {"present": False, "admins": [], "granting": [], "open": []}


def test_roots_path_and_umask(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with(
        {
            **ACCOUNTS,
            "/etc/profile.d/zz.sh": "  umask 027\n",
            "/root/.bashrc": "# umask 022\numask 022\nexport PATH=$PATH:.:/opt/open:/opt/closed:\n",
            "/opt/open/x": "",
            "/opt/closed/x": "",
        }
    )
    (tmp_path / "opt/open").chmod(0o777)
    (tmp_path / "opt/closed").chmod(0o755)
    (tmp_path / "root").chmod(0o755)
    found = root(host, set())
    assert (found["login_umask"], found["open_umask"], found["home_closed"]) == (
        "27",
        ["/root/.bashrc: umask 22"],
        False,
    )
    unsafe = " ".join(found["unsafe_path"])
    assert "'.' is no absolute" in unsafe
    assert "'' is no absolute" in unsafe
    assert "/opt/open" in unsafe
    assert found["gid_zero"] == ["root"]


def test_accounts_of_the_system(host_with: HostWith) -> None:
    passwd = ACCOUNTS["/etc/passwd"] + "svc:x:100:100::/:\nsync:x:4:65534::/:/bin/sync\nhigh:x:70000:1::/:/bin/sh\n"
    shadow = ACCOUNTS["/etc/shadow"] + "svc:$y$x:1::::::\nsync::1::::::\n"
    shells = ACCOUNTS["/etc/shells"] + "/usr/sbin/nologin\n# /bin/zsh\n"
    found = system_accounts(
        host_with({**ACCOUNTS, "/etc/passwd": passwd, "/etc/shadow": shadow, "/etc/shells": shells}), set()
    )
    assert found["with_shell"] == {"games": "/usr/sbin/nologin", "svc": "/bin/sh", "high": "/bin/sh"}
    assert found["with_password"] == ["svc", "sync"]
    assert found["nologin_is_a_shell"] == ["/usr/sbin/nologin"]
