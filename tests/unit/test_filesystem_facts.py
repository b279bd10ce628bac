# SPDX-License-Identifier: GPL-3.0-or-later
"""What files may be at most, mounts, and the records of inventory and baseline."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import inventory as inventory_module
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.inventory import integrity, inventory
from ansible_collections.kijun.baseline.plugins.module_utils.facts.mounts import mounts
from ansible_collections.kijun.baseline.plugins.module_utils.facts.permissions import (
    LOG_MODE,
    SECTIONS,
    _judged,
    permissions,
)
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable
from ansible_collections.kijun.baseline.plugins.modules.mount_options import lacking, with_lines, with_options
from hypothesis import given
from hypothesis import strategies as st

HostWith = Callable[[dict[str, str]], Host]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")

PASSWD = "root:x:0:0::/root:/bin/bash\nann:x:{uid}:0::/home/ann:/bin/bash\ndaemon:x:1:1::/gone:/usr/sbin/nologin\n"


def home(host_with: HostWith, uid: int | None = None) -> Host:
    host = host_with(
        {
            "/etc/passwd": PASSWD.format(uid=5000 if uid is None else uid),
            "/etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\n",
            "/root/.bashrc": "",
            "/home/ann/.netrc": "",
            "/home/ann/.bashrc": "",
        }
    )
    Path(host.path("/root")).chmod(0o700)
    Path(host.path("/home/ann")).chmod(0o750)
    Path(host.path("/home/ann/.netrc")).chmod(0o600)
    for name in ("", "/.netrc", "/.bashrc"):
        os.chown(host.path("/home/ann" + name), 5000 if uid is None else uid, 0)
    return host


# --- permissions


@given(present=st.integers(0, 0o7777), most=st.integers(0, 0o777))
def test_a_mode_is_only_ever_taken_from(present: int, most: int) -> None:
    info = os.stat_result((0o100000 | present, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    found = _judged("/x", (None, "/x"), info, most, roots=True, groups=("root",))
    if found is None:
        assert not present & ~most & 0o6777
    else:
        assert not found.mode & ~present, "something was opened"
        assert not found.mode & ~most & 0o6777
        assert found.mode == present & (most | 0o1000), "more was closed than has to be"


@needs_root
def test_files_more_open_than_they_may_be(host_with: HostWith) -> None:
    host = host_with({"/etc/passwd": "", "/etc/shadow": "", "/etc/gshadow": "", "/etc/issue": ""})
    Path(host.path("/etc/shadow")).chmod(0o644)
    Path(host.path("/etc/gshadow")).chmod(0o400)
    os.chown(host.path("/etc/passwd"), 5000, 0)
    Path(host.path("/etc/shadow-")).symlink_to("/etc/shadow")
    found = permissions(host, {"accounts", "accounts without /etc/passwd", "system"})
    assert found["accounts"] == {"/etc/passwd": "owned by 5000", "/etc/shadow": "mode 0644, at most 0640"}
    assert list(found["accounts without /etc/passwd"]) == ["/etc/shadow"]
    assert found["system"] == {}


@needs_root
def test_a_directory_is_left_out_with_all_below_and_nothing_beside(host_with: HostWith) -> None:
    host = host_with({"/var/log/app/a.log": "", "/var/log/application.log": "", "/var/log/apt/history.log": ""})
    for path in ("app/a.log", "application.log", "apt/history.log"):
        Path(host.path("/var/log/" + path)).chmod(0o644)
    key = "logs without /var/log/app /srv"
    assert permissions(host, {"logs", key}) == {
        "logs": dict.fromkeys(("/var/log/app/a.log", "/var/log/application.log"), "mode 0644, at most %04o" % LOG_MODE),
        key: {"/var/log/application.log": "mode 0644, at most 0640"},
    }


def test_a_section_that_there_is_none_of_is_not_there(host_with: HostWith) -> None:
    assert permissions(host_with({}), {"logz without /x"}) == {}


@needs_root
def test_logs_by_a_second_name_or_a_link_are_let_be(host_with: HostWith) -> None:
    host = host_with({"/var/log/x.log": "", "/etc/passwd": ""})
    Path(host.path("/etc/passwd")).chmod(0o666)
    Path(host.path("/var/log/hard.log")).hardlink_to(host.path("/etc/passwd"))
    Path(host.path("/var/log/soft.log")).symlink_to(host.path("/etc/passwd"))
    Path(host.path("/var/log/folder")).symlink_to(host.path("/etc"))
    Path(host.path("/var/log/x.log")).chmod(0o640)
    assert permissions(host, {"logs"}) == {"logs": {}}


@needs_root
def test_homes_and_what_lies_in_them(host_with: HostWith) -> None:
    host = home(host_with)
    keys = {"homes", "dotfiles", "homes_astray", "trusting"}
    assert permissions(host, keys) == {"homes": {}, "dotfiles": {}, "homes_astray": [], "trusting": []}
    Path(host.path("/home/ann")).chmod(0o755)
    Path(host.path("/home/ann/.netrc")).chmod(0o640)
    Path(host.path("/home/ann/.bashrc")).chmod(0o664)
    Path(host.path("/root")).chmod(0o750)
    Path(host.path("/home/ann/.rhosts")).touch(mode=0o666)  # root's: another's file in the home is let be
    assert permissions(host, keys) == {
        "homes": {"/root": "mode 0750, at most 0700", "/home/ann": "mode 0755, at most 0750"},
        "dotfiles": {
            "/home/ann/.bashrc": "mode 0664, at most 0644",
            "/home/ann/.netrc": "mode 0640, at most 0600",
        },
        "homes_astray": [],
        "trusting": ["/home/ann/.rhosts"],
    }


@needs_root
def test_homes_that_are_missing_or_anothers(host_with: HostWith) -> None:
    host = home(host_with)
    os.chown(host.path("/home/ann"), 6000, 0)
    assert permissions(host, {"homes_astray"})["homes_astray"] == ["ann: /home/ann belongs to 6000"]
    Path(host.path("/home/ann")).rename(host.path("/home/other"))
    assert permissions(host, {"homes_astray"})["homes_astray"] == ["ann: /home/ann is not there"]
    Path(host.path("/home/ann")).symlink_to(host.path("/home/other"))
    assert permissions(host, {"homes_astray", "dotfiles"}) == {
        "homes_astray": ["ann: /home/ann is no directory"],
        "dotfiles": {},
    }


@needs_root
def test_everybodys_directories_need_the_sticky_bit(host_with: HostWith) -> None:
    host = host_with({"/tmp/x": "", "/var/tmp/x": ""})
    Path(host.path("/tmp")).chmod(0o777)
    Path(host.path("/var/tmp")).chmod(0o1777)
    found = list(SECTIONS["temporary"](host))
    assert [(f.path, f.wrong, f.mode) for f in found] == [("/tmp", "mode 0777, without the sticky bit", 0o1777)]


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("umask 027\n", []),
        (" umask 0077\n", []),
        ("#umask 022\n", []),
        ("umask 022\n", ["/etc/profile.d/a.sh: umask 22"]),
        ("if x; then\n\tumask 0002\nfi\n", ["/etc/profile.d/a.sh: umask 2"]),
        ("umask 007\n", ["/etc/profile.d/a.sh: umask 7"]),
    ],
)
def test_umasks_of_start_files(host_with: HostWith, text: str, open_: list[str]) -> None:
    host = host_with({"/etc/profile.d/a.sh": text})
    assert permissions(host, {"open_umask"})["open_umask"] == open_


# --- mounts

MOUNTINFO = (
    "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
    "2 1 0:5 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw\n"
    "3 1 8:2 / /srv/two\\040words rw,nosuid,nodev,noexec shared:1 - ext4 /dev/sda2 rw\n"
    "4 1 0:6 / /tmp rw - ext4 /dev/sda3 rw\n"
    "5 4 0:7 / /tmp rw,noexec - tmpfs tmpfs rw\n"
)


def test_mounts_now_and_at_boot(host_with: HostWith) -> None:
    table = "# c\n/dev/sda1 / ext4 defaults 0 1\nUUID=x /home ext4 nodev,nosuid 0 2\n"
    host = host_with({"/proc/self/mountinfo": MOUNTINFO, "/etc/fstab": table})
    seen = mounts(host, {"/dev/shm", "/home", "/srv/two words", "/tmp", "separate"})
    assert seen["/dev/shm"]["without"] == ["noexec"]
    assert (seen["/dev/shm"]["fstab"], seen["/dev/shm"]["fstab_without"]) == (None, [])
    assert (seen["/home"]["separate"], seen["/home"]["without"], seen["/home"]["fstab_without"]) == (
        False,
        [],
        ["noexec"],
    )
    assert seen["/srv/two words"]["without"] == []
    assert (seen["/tmp"]["type"], seen["/tmp"]["without"]) == ("tmpfs", ["nodev", "nosuid"])
    assert seen["separate"] == ["/", "/dev/shm", "/srv/two words", "/tmp"]


def wish(path: str, tmpfs: list[str] | None = None) -> dict[str, Any]:
    return {"path": path, "options": ["nodev", "nosuid", "noexec"], "tmpfs": tmpfs}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["defaults"], ["defaults", "nodev", "nosuid", "noexec"]),
        (["rw", "exec", "suid", "noatime"], ["rw", "noatime", "nodev", "nosuid", "noexec"]),
        (["noexec", "nodev", "nosuid"], ["noexec", "nodev", "nosuid"]),
    ],
)
def test_options_are_added_and_their_contraries_go(before: list[str], after: list[str]) -> None:
    assert with_options(before, ["nodev", "nosuid", "noexec"]) == after
    assert with_options(after, ["nodev", "nosuid", "noexec"]) == after


def test_lines_of_fstab() -> None:
    text = "# /tmp is not here\nUUID=x\t/home\text4\tdefaults\t0\t2\n/dev/b /srv ext4 defaults 0 2\n"
    now = {"/dev/shm": {"type": "tmpfs", "options": ["rw", "nodev"]}, "/var/tmp": {"type": "ext4", "options": ["rw"]}}
    wishes = [wish("/home"), wish("/dev/shm", ["mode=1777"]), wish("/var/tmp", []), wish("/var/log"), wish("/tmp", [])]
    made, changed = with_lines(text, wishes, now)
    assert made == (
        "# /tmp is not here\nUUID=x\t/home\text4\tdefaults,nodev,nosuid,noexec\t0\t2\n/dev/b /srv ext4 defaults 0 2\n"
        "tmpfs /dev/shm tmpfs mode=1777,nodev,nosuid,noexec 0 0\ntmpfs /tmp tmpfs nodev,nosuid,noexec 0 0\n"
    )
    assert changed == ["/home", "/dev/shm", "/tmp"]
    assert with_lines(made, wishes, now) == (made, [])
    assert lacking(wishes, now) == {"/dev/shm": ["nosuid", "noexec"], "/var/tmp": ["nodev", "nosuid", "noexec"]}


# --- records of inventory and baseline


def stored(host_with: HostWith, **records: dict[str, Any]) -> Host:
    """A host with records, written as the programs write them."""
    places = {
        "inventory": inventory_module.INVENTORY,
        "baseline": inventory_module.BASELINE,
        "check": inventory_module.CHECK,
    }
    texts = {places[name]: json.dumps(record) for name, record in records.items()}
    host = host_with({**texts, "/etc/kijun/file-inventory.json": "{}", "/var/lib/aide/aide.db": "db"})
    for path in texts:
        Path(host.path(path)).chmod(0o600)
    return host


def test_inventory_that_is_not_there_is_no_pass(host_with: HostWith) -> None:
    seen = inventory(stored(host_with), set())
    assert seen["age_days"] is None
    assert seen["settings_current"] is False
    assert isinstance(seen["privileged_paths"], Unreadable)
    assert isinstance(seen["unowned"], Unreadable)


@needs_root
def test_inventory_as_it_was_written(host_with: HostWith) -> None:
    found = {kind: {} for kind in inventory_module.KINDS}
    record = {
        "time": int(time.time()) - 86400,
        "settings": hashlib.sha256(b"{}").hexdigest(),
        "files": 5,
        "seconds": 0.1,
        "skipped": {},
        "counts": {"privileged": 1, "unowned": 3},
        "found": {**found, "privileged": {"/bin/x": "4755 0:0"}, "unowned": {"/a": "user 7"}},
    }
    host = stored(host_with, inventory=record)
    seen = inventory(host, {"age_days"})
    assert (seen["age_days"], seen["settings_current"], seen["cut_short"]) == (1.0, True, ["unowned"])
    assert (seen["privileged_paths"], seen["changeable"]) == (["/bin/x"], [])
    Path(host.path(inventory_module.INVENTORY)).chmod(0o666)
    assert isinstance(inventory(host, {"age_days"})["age_days"], Unreadable), "somebody could have written it"


def test_baseline_through_its_life(host_with: HostWith) -> None:
    assert integrity(stored(host_with), {"database"})["baseline"] == "missing"
    host = stored(host_with, baseline={"state": "being made", "time": 0})
    assert integrity(host, {"database"})["baseline"] == "being made since 1970-01-01 00:00 UTC"
    digest = hashlib.sha256(b"db").hexdigest()
    check = {
        "time": int(time.time()),
        "counts": {"added": 0, "removed": 0, "changed": 1},
        "found": {"changed": {"/x": "mode"}},
    }
    host = stored(host_with, baseline={"state": "made", "time": int(time.time()), "sha256": digest}, check=check)
    seen = integrity(host, {"database"})
    assert (seen["baseline"], seen["database"], seen["database_intact"]) == ("made", digest, True)
    assert (seen["differences"], seen["changed"]) == (1, {"/x": "mode"})
    Path(host.path("/var/lib/aide/aide.db")).write_text("other", encoding="ascii")
    assert integrity(host, {"database"})["database_intact"] is False
