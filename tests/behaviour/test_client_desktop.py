# SPDX-License-Identifier: GPL-3.0-or-later
"""A real session of GNOME, on a screen that nobody sees: it locks, and locks where a program holds it open."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator

import pytest
from kijun_hosts import Machine
from kijun_logs import wait_for

from .test_client import INVENTORY, PLAY, USER, install

Verdicts = Callable[..., dict[str, str]]

PACKAGES = ("gnome-shell", "gnome-session", "gdm3", "gjs", "dbus-user-session", "libglib2.0-bin")
MINUTE = ("-e", json.dumps({"workstation_lock_minutes": 1}))
HEADLESS = "[Service]\\nExecStart=\\nExecStart=/usr/bin/gnome-shell --headless --virtual-monitor 800x600\\n"
UNIT = "kijuntest-desktop"


def as_user(command: str) -> str:
    """A shell line of root's that runs a command as the user, on his bus."""
    bus = "XDG_RUNTIME_DIR=/run/user/$U DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$U/bus"
    return (
        f"U=$(id -u {USER}); setpriv --reuid={USER} --regid={USER} --init-groups env HOME=/home/{USER} {bus} {command}"
    )


def session(machine: Machine) -> str:
    """The session's number; empty where there is none."""
    lines = [line.split() for line in machine.ok("loginctl list-sessions --no-legend").splitlines()]
    for name in (words[0] for words in lines if USER in words):
        # An older one may go meanwhile.
        if machine.run(f"loginctl show-session {name} -P Type").stdout.strip() == "wayland":
            return str(name)
    return ""


def locked(machine: Machine) -> bool:
    return machine.ok(f"loginctl show-session {session(machine)} -P LockedHint").strip() == "yes"


def active(machine: Machine) -> bool:
    """Whether the screen saver itself says that it is there."""
    bus = "gdbus call --session -d org.gnome.ScreenSaver -o /org/gnome/ScreenSaver -m org.gnome.ScreenSaver.GetActive"
    return "true" in machine.run(as_user(bus)).stdout


def start(machine: Machine) -> None:
    """Log the user in anew, as GNOME's login screen does."""
    machine.run(f"systemctl stop {UNIT}; systemctl restart user@$(id -u {USER})")
    words = ["systemd-run", "--quiet", f"--unit={UNIT}", f"--uid={USER}", "-p", "PAMName=login"]
    words += [f"-p WorkingDirectory=/home/{USER}", "-E XDG_SESSION_TYPE=wayland", "-E XDG_SESSION_CLASS=user"]
    words += ["-E XDG_SESSION_DESKTOP=gnome", "-E XDG_CURRENT_DESKTOP=GNOME", "-E XDG_RUNTIME_DIR=/run/user/$U"]
    words += ["-E DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$U/bus", "gnome-session"]
    machine.ok(f"U=$(id -u {USER}); {' '.join(words)}")
    idle = "busctl --user call org.gnome.Mutter.IdleMonitor /org/gnome/Mutter/IdleMonitor/Core "
    answers = as_user(idle + "org.gnome.Mutter.IdleMonitor GetIdletime")
    assert wait_for(lambda: session(machine) and machine.run(answers).rc == 0, 60)


@pytest.fixture(scope="session")
def desktop(machine: Machine) -> Iterator[Machine]:
    """A PC with GNOME, the role applied, and screens that lock after one minute."""
    machine.inventory = INVENTORY
    done = machine.playbook(PLAY, *MINUTE)
    assert done.returncode == 0, done.stdout + done.stderr
    install(machine, *PACKAGES)
    machine.ok("systemctl restart kijun-workstation; systemctl start gdm")
    machine.ok(f"id {USER} 2>/dev/null || useradd -m -s /bin/bash {USER}; loginctl enable-linger {USER}")
    folder = f"/home/{USER}/.config/systemd/user/org.gnome.Shell@wayland.service.d"
    as_him = f"runuser -u {USER} --"
    machine.ok(f"{as_him} mkdir -p {folder}; printf {shlex.quote(HEADLESS)} | {as_him} tee {folder}/x.conf")
    yield machine
    machine.run(f"systemctl stop {UNIT} gdm; loginctl disable-linger {USER}; sleep 1; userdel -rf {USER}")


@pytest.mark.control("WS-01")
def test_a_session_that_nobody_touches_locks_whatever_its_user_set(desktop: Machine) -> None:
    desktop.ok("systemctl stop kijun-workstation-watch.timer")
    try:
        start(desktop)
        key = "org.gnome.desktop.session idle-delay"
        tried = f"gsettings set {key} 0; gsettings get {key}"
        assert desktop.run(as_user(f"sh -c {shlex.quote(tried)}")).stdout == "uint32 60\n"
        assert not locked(desktop)
        assert wait_for(lambda: locked(desktop), 90)
        assert active(desktop)
    finally:
        desktop.ok("systemctl start kijun-workstation-watch.timer")


@pytest.mark.control("WS-02")
def test_a_session_that_a_program_holds_open_locks_all_the_same(desktop: Machine, verdicts: Verdicts) -> None:
    watch = "kijun-workstation-watch"
    desktop.ok(f"systemctl stop {watch}.timer")
    try:
        start(desktop)
        holds = "gnome-session-inhibit --inhibit idle --app-id film --reason watching sleep 600 >/dev/null 2>&1 &"
        desktop.ok(as_user(holds))
        time.sleep(80)
        assert not locked(desktop), "the attack itself does not work"
        desktop.ok(f"systemctl start {watch}.timer")
        # Three rounds: one finds nothing out where the host is so busy that the session answers after five seconds.
        assert wait_for(lambda: locked(desktop), 100)
        assert active(desktop)
        said = desktop.ok(f"journalctl -b -o cat -u {watch}.service | tail -20")
        assert "held open by film: watching: locked" in said
        assert verdicts("--tags", "WS-02", *MINUTE)["WS-02"] == "pass"
        # A compositor that does not answer: nobody can say whether its screen is locked.
        desktop.ok(f"loginctl unlock-session {session(desktop)}; sleep 1; pkill -STOP -u {USER} -x gnome-shell")
        desktop.ok(f"systemctl start {watch}.service")
        assert verdicts("--tags", "WS-02", *MINUTE)["WS-02"] == "fail"
    finally:
        desktop.run(f"pkill -CONT -u {USER} -x gnome-shell; systemctl start {watch}.timer")
