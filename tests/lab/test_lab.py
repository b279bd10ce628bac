# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command on real hosts: run twice, killed, side by side, made fresh, rebooted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
INSTANCE = int(os.environ.get("KIJUN_LAB", "6"))
NEIGHBOUR = INSTANCE + 100
STATE = CHECKOUT / ".lab"
SSH_OPTIONS = [f"-i{STATE}/id_ed25519", "-oBatchMode=yes", f"-oUserKnownHostsFile={STATE}/known_hosts"]


def lab(*words: str, instance: int = INSTANCE, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECKOUT / "lab" / "lab", *words],
        env={**os.environ, "KIJUN_LAB": str(instance)},
        capture_output=True,
        text=True,
        check=check,
    )


def on(host: str, command: str, instance: int = INSTANCE) -> str:
    return lab("exec", host, "--", "sh", "-c", command, instance=instance).stdout.strip()


def ssh(address: str, command: str) -> str:
    return subprocess.run(
        ["ssh", *SSH_OPTIONS, f"admin@{address}", command],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def images_and_an_empty_instance() -> Iterator[None]:
    lab("build")
    lab("down")
    yield
    lab("down")
    lab("down", instance=NEIGHBOUR)


def test_up_twice_keeps_what_is_on_the_hosts() -> None:
    lab("up")
    on("server12", "touch /root/mine")
    second = lab("up")
    assert second.stdout.count(" is up (") == 7
    on("server12", "test -e /root/mine")


@pytest.mark.parametrize(("host", "octet", "release"), [("server12", 11, "12"), ("server13", 12, "13")])
def test_an_administrator_logs_in_by_key_and_becomes_root(host: str, octet: int, release: str) -> None:
    address = f"10.213.{INSTANCE}.{octet}"
    said = ssh(address, "hostname; id -un; sudo -n id -un; . /etc/os-release; echo $VERSION_ID; ps -p 1 -o comm=")
    assert said.split() == [host, "admin", "root", release, "systemd"]
    assert ssh(address, "sudo getent shadow admin").split(":")[1] == "!*"
    assert on(host, "systemctl is-system-running") == "running"


@pytest.mark.parametrize("host", ["server12", "client13"])
def test_hosts_know_each_others_names_and_debians_packages(host: str) -> None:
    assert on(host, "getent ahostsv4 time1 | head -1").split()[0] == f"10.213.{INSTANCE}.31"
    assert on(host, "getent ahostsv4 upstream | head -1").split()[0] == f"10.213.{INSTANCE}.41"
    on(host, "apt-get install --yes --quiet --no-install-recommends cracklib-runtime")


def test_a_host_writes_its_own_network_settings_and_none_of_the_machines() -> None:
    name = "net.ipv4.conf.all.rp_filter"
    before = Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text(encoding="ascii")
    for value in ("1", "2"):
        assert on("server13", f"sysctl --quiet --write {name}={value} && sysctl --values {name}") == value
    assert Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text(encoding="ascii") == before
    assert lab("exec", "server13", "--", "sysctl", "--write", "kernel.sysrq=0", check=False).returncode != 0


def test_the_outside_world_serves_time_with_nts() -> None:
    listening = on("upstream", "ss --listening --numeric --udp --tcp --no-header")
    assert re.search(r"udp .*:123 ", listening)
    assert re.search(r"tcp .*:4460 ", listening)


@pytest.mark.parametrize("host", ["server12", "server13"])
def test_a_reset_host_is_fresh_within_three_seconds(host: str) -> None:
    on(host, "touch /root/mine; echo changed >/etc/motd")
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        lab("reset", host)
        seconds.append(time.monotonic() - started)
    assert on(host, "test ! -e /root/mine && cat /etc/motd") != "changed"
    # The quickest of three: the two cores may be busy with something else for a moment.
    assert min(seconds) < 3, f"{seconds}"


@pytest.mark.parametrize("way", ["from outside", "from inside"])
def test_a_reboot_keeps_what_is_on_the_host(way: str) -> None:
    on("server13", "echo kept >/root/mine; touch /run/gone")
    boot = "stat --format %Y /proc/1"
    before = on("server13", boot)
    time.sleep(1.1)
    if way == "from outside":
        lab("reboot", "server13")
    else:
        lab("exec", "server13", "--", "systemctl", "reboot", check=False)
        time.sleep(2)
        lab("up", "server13")
    assert on("server13", "cat /root/mine; ls /run/gone 2>/dev/null || true") == "kept"
    assert on("server13", boot) != before


def test_instances_stand_side_by_side() -> None:
    lab("up", "server12", "upstream", instance=NEIGHBOUR)
    on("server12", "echo neighbour >/root/whose", instance=NEIGHBOUR)
    on("server12", "test ! -e /root/whose")
    assert on("server12", "getent ahostsv4 upstream | head -1", instance=NEIGHBOUR).startswith(f"10.213.{NEIGHBOUR}.")
    assert ssh(f"10.213.{NEIGHBOUR}.11", "hostname") == "server12"
    lab("down", instance=NEIGHBOUR)
    assert "server12" in lab("status").stdout
    assert on("server12", "hostname") == "server12"


@pytest.mark.parametrize("seconds", [0.7, 1.0, 1.3, 1.7, 2.2])
@pytest.mark.parametrize("state", ["none", "up"])
def test_a_killed_run_is_made_good_by_the_next(seconds: float, state: str) -> None:
    """Half-made hosts are made anew, whether the killed run made them first or made them fresh."""
    hosts = ("server12", "client13")
    if state == "none":
        lab("down")
    else:
        lab("up", *hosts)
    killed = subprocess.Popen(
        [CHECKOUT / "lab" / "lab", "up" if state == "none" else "reset", *hosts],
        env={**os.environ, "KIJUN_LAB": str(INSTANCE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    lab("up", *hosts)
    for host, octet in (("server12", 11), ("client13", 22)):
        assert ssh(f"10.213.{INSTANCE}.{octet}", "hostname") == host
        assert on(host, "getent ahostsv4 server12 | head -1").split()[0] == f"10.213.{INSTANCE}.11"


def test_down_leaves_nothing() -> None:
    lab("up", "server12")
    lab("down")
    lab("down")
    for kind in (["ps", "--all"], ["network", "ls"]):
        filtered = ["podman", *kind, "--quiet", "--filter", f"label=kijun.lab.instance={INSTANCE}"]
        assert subprocess.run(filtered, capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize(
    ("words", "instance", "message"),
    [
        (["up", "server99"], "6", "no such host: server99"),
        (["up"], "200", "0 to 199"),
        (["shell", "client12"], "199", "client12 is not up"),
        (["reboot"], "199", "not up: server12"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words: list[str], instance: str, message: str) -> None:
    done = subprocess.run(
        [CHECKOUT / "lab" / "lab", *words], env={**os.environ, "KIJUN_LAB": instance}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_root_it_says_so() -> None:
    script = "import kijun_lab.podman as podman; podman.require_machine()"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-B", "-c", script],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "lab")},
        capture_output=True,
        text=True,
    )
    assert "needs root" in done.stderr
