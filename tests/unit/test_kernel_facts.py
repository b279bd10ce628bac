# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit reads of a kernel: settings now and at boot, modules, core dumps, AppArmor, the boot menu."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import kernel
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from kijun_tools import tree

HostWith = Callable[[dict[str, str]], Host]

PROC = {
    "/proc/sys/kernel/kptr_restrict": "1\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/net/ipv4/conf/all/rp_filter": "0\n",
    "/proc/sys/net/ipv4/conf/eth0/rp_filter": "2\n",
    "/proc/sys/net/ipv4/conf/eth0.7/rp_filter": "1\n",
}


def boot(host: Host, name: str) -> object:
    return kernel.kernel_settings(host, {name})[name]["at boot"]


def test_a_setting_is_what_it_is_now_and_what_it_will_be(host_with: HostWith) -> None:
    host = host_with({**PROC, "/etc/sysctl.d/zz-kijun.conf": "# why\n; too\n\nkernel.kptr_restrict = 2\n"})
    seen = kernel.kernel_settings(host, {"kernel.kptr_restrict", "kernel.nothing", "net.ipv4.ip_local_port_range"})
    assert seen["kernel.kptr_restrict"] == {"in force": 1, "at boot": 2}
    assert seen["kernel.nothing"] == {"in force": None, "at boot": None}
    assert seen["net.ipv4.ip_local_port_range"] == {"in force": "32768 60999", "at boot": None}
    assert host.problems == []


def test_a_star_stands_for_every_interface(host_with: HostWith) -> None:
    host = host_with({**PROC, "/etc/sysctl.d/a.conf": "net.ipv4.conf.*.rp_filter=1\n-net.ipv4.conf.all.rp_filter\n"})
    seen = kernel.kernel_settings(host, {"net.ipv4.conf.*.rp_filter"})["net.ipv4.conf.*.rp_filter"]
    assert seen == {
        "all": 0,
        "eth0": 2,
        "eth0.7": 1,
        "all at boot": None,
        "eth0 at boot": 1,
        "eth0.7 at boot": 1,
    }


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"/usr/lib/sysctl.d/50.conf": "a.b = 1\n", "/etc/sysctl.d/60.conf": "a.b = 2\n"}, 2),
        ({"/etc/sysctl.d/50.conf": "a.b = 1\n", "/usr/lib/sysctl.d/60.conf": "a.b = 2\n"}, 2),
        ({"/etc/sysctl.d/50.conf": "\n", "/usr/lib/sysctl.d/50.conf": "a.b = 2\n"}, None),
        ({"/run/sysctl.d/z.conf": "a/b=3\n", "/etc/sysctl.d/60.conf": "a.b = 2\n"}, 3),
        ({"/etc/sysctl.d/50.conf": "-a.b = 1\n"}, 1),
        ({"/etc/sysctl.d/50.conf": "a.b = 1\n", "/etc/sysctl.d/z.conf": "a.* = 9\n"}, 1),
        ({"/etc/sysctl.d/50.conf": "a.* = 1\n", "/etc/sysctl.d/z.conf": "*.b = 9\n"}, 9),
        ({"/etc/sysctl.d/50.ini": "a.b = 1\n"}, None),
    ],
)
def test_the_file_that_counts_is_found_as_systemd_finds_it(
    host_with: HostWith, files: dict[str, str], value: object
) -> None:
    assert boot(host_with(files), "a.b") == value


def test_a_line_that_is_no_setting_is_told(host_with: HostWith) -> None:
    host = host_with({"/etc/sysctl.d/a.conf": "kernel.sysrq\nkernel.sysrq = 0\n"})
    assert boot(host, "kernel.sysrq") == 0
    assert host.problems == [{"file": "/etc/sysctl.d/a.conf", "line": 1, "problem": "'kernel.sysrq' is no setting"}]


@pytest.mark.parametrize(
    ("text", "blocked"),
    [
        ("blacklist usb-storage\ninstall usb-storage /bin/false\n", ["usb_storage"]),
        ("blacklist dccp\ninstall dccp /usr/bin/true # no\n", ["dccp"]),
        ("blacklist dccp\n", []),
        ("install dccp /bin/false\n", []),
        ("blacklist dccp\ninstall dccp /sbin/modprobe --ignore-install dccp\n", []),
        ("blacklist dccp\ninstall dccp \\\n /bin/false\n", ["dccp"]),
        ("# blacklist dccp\n# install dccp /bin/false\n", []),
    ],
)
def test_a_module_is_blocked_by_both_ways_in(host_with: HostWith, text: str, blocked: list[str]) -> None:
    host = host_with({"/etc/modprobe.d/k.conf": text, "/proc/modules": "tipc 1 0 - Live 0x0\nudf 2 0 - Live 0x0\n"})
    assert kernel.modules(host, set()) == {"loaded": ["tipc", "udf"], "blocked": blocked}


def test_the_first_install_line_counts(host_with: HostWith) -> None:
    files = {
        "/etc/modprobe.d/kijun.conf": "blacklist dccp\ninstall dccp /bin/false\n",
        "/usr/lib/modprobe.d/aaa.conf": "install dc* /sbin/modprobe -i dccp\n",
    }
    assert kernel.modules(host_with(files), set())["blocked"] == []


def test_core_dumps(host_with: HostWith) -> None:
    host = host_with(
        {
            "/etc/security/limits.conf": "#* hard core 9\n* soft core 7\nroot hard core unlimited\n",
            "/etc/security/limits.d/z.conf": "* - core 0\n@dev hard nproc 20\n",
            "/etc/systemd/coredump.conf": "[Coredump]\n#Storage=external\nProcessSizeMax=2G\n",
            "/etc/systemd/coredump.conf.d/k.conf": "[Coredump]\nStorage=none\nProcessSizeMax=0\n",
        }
    )
    assert kernel.core_dumps(host, set()) == {
        "limits": {"root": "unlimited", "*": 0},
        "storage": "none",
        "process_size_max": 0,
    }
    assert kernel.core_dumps(host_with({"/etc/security/limits.d/z.conf": ""}), set())["limits"] is not None


def test_apparmor(host_with: HostWith) -> None:
    host = host_with(
        {
            "/sys/module/apparmor/parameters/enabled": "Y\n",
            "/sys/kernel/security/apparmor/profiles": "lsb_release (enforce)\na//b c (complain)\nx (unconfined)\n",
        }
    )
    seen = kernel.apparmor(host, set())
    assert seen == {"enabled": True, "enforced": ["lsb_release"], "not_enforced": ["a//b c"], "escaped": []}


MENU = """\
set superusers="root"
password_pbkdf2 root grub.pbkdf2.sha512.10000.AA.BB
menuentry 'Debian' {
\tlinux\t/boot/vmlinuz-1 root=/dev/vda ro apparmor=1 security=apparmor
}
menuentry 'old' {
\tlinux /boot/vmlinuz-0 root=/dev/vda ro
}
"""


def test_the_boot_menu(host_with: HostWith) -> None:
    seen = kernel.boot_loader(host_with({"/boot/grub/grub.cfg": MENU}), set())
    assert seen == {
        "present": True,
        "superusers": ["root"],
        "passwords": ["root"],
        "plain_passwords": [],
        "without_apparmor": ["/boot/vmlinuz-0"],
    }


def test_a_host_without_grub_has_no_menu(host_with: HostWith) -> None:
    assert kernel.boot_loader(host_with({}), set())["present"] is False


def test_every_setting_of_the_role_is_asked_by_its_control() -> None:
    """What the role sets and what its controls expect are written in two places; they are the same settings."""
    role = tree.ROOT / "roles" / "kernel"
    controls = {entry["id"]: entry for entry in tree.load(role / "controls.yml")}
    variables = tree.load(role / "vars/main.yml")
    settings = {
        **variables["__kernel_settings"],
        "KERN-06": variables["__kernel_settings_of_no_router"],
        "KERN-10": variables["__kernel_settings_of_no_guest"],
    }
    unasked = {"kernel.core_uses_pid"}  # moot while core dumps go nowhere; outside auditors ask for it
    for control, wanted in settings.items():
        asked = {e["fact"]: e["value"] for e in controls[control]["expect"] if e["fact"].startswith("kernel_settings")}
        assert asked == {f"kernel_settings[{name}]": value for name, value in wanted.items() if name not in unasked}
