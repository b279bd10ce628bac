# SPDX-License-Identifier: GPL-3.0-or-later
"""What is started anew after files were put back, and what a change did to units that it must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.backup import services
from ansible_collections.kijun.baseline.plugins.module_utils.backup.services import owners, parsed, planned, unwell


def unit(name: str, state: str = "active", run: str = "1", **more: str) -> dict[str, Any]:
    about = {
        "Id": name,
        "ActiveState": state,
        "SubState": "running",
        "InvocationID": run,
        "FragmentPath": f"/lib/systemd/system/{name}",
        "Type": "simple",
        "NRestarts": "0",
    }
    return {name: {**about, **more}}


@pytest.fixture(autouse=True)
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dpkg that knows nginx, and packages that share /etc/default."""
    lists = {
        "nginx-common": [
            *("/etc", "/etc/nginx", "/etc/nginx/conf.d", "/etc/nginx/nginx.conf"),
            *("/etc/default", "/etc/default/nginx", "/lib/systemd/system/nginx.service"),
        ],
        "chrony": ["/etc", "/etc/default", "/usr/sbin/chronyd", "/usr/lib/systemd/system/chrony.service"],
        **{f"other{n}": ["/etc", "/etc/default"] for n in range(4)},
    }
    for package, paths in lists.items():
        (tmp_path / f"{package}.list").write_text("".join(path + "\n" for path in paths), "utf-8")
    monkeypatch.setattr(services, "INFO", str(tmp_path))
    monkeypatch.setattr(services.owners, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(services._listed, "__defaults__", (str(tmp_path),))
    return tmp_path


def test_systemctl_is_read() -> None:
    shown = "Id=a.service\nActiveState=active\nFragmentPath=\n\nId=b.timer\nActiveState=inactive\n\n"
    assert {name: found["ActiveState"] for name, found in parsed(shown).items()} == {
        "a.service": "active",
        "b.timer": "inactive",
    }


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/etc/nginx/nginx.conf", "nginx-common"),
        ("/etc/nginx/conf.d/ours.conf", "nginx-common"),
        ("/sbin/chronyd", "chrony"),
        ("/usr/sbin/chronyd", "chrony"),
        ("/etc/default/nginx", "nginx-common"),
        ("/etc/default/unknown", None),
        ("/etc/unknown/file", None),
    ],
)
def test_whose_settings_a_file_is(path: str, package: str | None, dpkg: Path) -> None:
    assert owners([path], str(dpkg)) == ({package} if package else set())


def test_what_stopped_is_started_and_what_was_started_anew_is_so_again() -> None:
    before = {**unit("nginx.service"), **unit("chrony.service"), **unit("cron.service")}
    now = {**unit("nginx.service", "failed"), **unit("chrony.service", run="2"), **unit("cron.service")}
    plan = planned(before, now, [])
    assert (plan.start, plan.restart, plan.stop) == (["nginx.service"], ["chrony.service"], [])


@pytest.mark.parametrize(
    "path",
    ["/etc/nginx/conf.d/a.conf", "/etc/systemd/system/nginx.service.d/x.conf", "/usr/lib/systemd/system/nginx.service"],
)
def test_a_unit_whose_files_were_put_back_starts_anew(path: str) -> None:
    before = {**unit("nginx.service"), **unit("cron.service")}
    assert planned(before, before, [path]).restart == ["nginx.service"]


def test_what_is_not_there_any_more_is_started_once_its_files_are_back() -> None:
    assert planned(unit("gone.service"), {}, []).start == ["gone.service"]


def test_a_unit_that_nobody_may_start_is_not_started_anew() -> None:
    before = unit("nginx.service", RefuseManualStart="yes")
    assert planned(before, before, ["/etc/nginx/nginx.conf"]).restart == []


def test_a_link_that_enables_a_unit_concerns_no_other(dpkg: Path) -> None:
    (dpkg / "systemd.list").write_text("/etc/systemd\n/etc/systemd/system\n/lib/systemd/system/x.service\n", "utf-8")
    assert owners(["/etc/systemd/system/multi-user.target.wants/cron.service"], str(dpkg)) == set()


def test_what_came_with_the_change_is_stopped() -> None:
    assert planned({}, unit("new.service"), []).stop == ["new.service"]
    assert planned(unit("old.service", "inactive"), unit("old.service"), []).stop == ["old.service"]
    # A job that a timer starts comes and goes.
    assert planned({}, unit("job.service", Type="oneshot"), []).stop == []


@pytest.mark.parametrize(
    "name", ["dbus.service", "systemd-logind.service", "user@1000.service", "kijun-change-watch.service"]
)
def test_what_would_end_sessions_or_this_work_is_left_alone(name: str) -> None:
    plan = planned(unit(name), unit(name, run="2"), [f"/etc/systemd/system/{name}"])
    assert (plan.start, plan.restart, plan.stop) == ([], [], [])


def test_settings_of_the_kernel_are_read_anew() -> None:
    before = unit("systemd-sysctl.service", Type="oneshot")
    assert planned(before, before, ["/etc/sysctl.d/50-x.conf"]).restart == ["systemd-sysctl.service"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (unit("a.service"), []),
        (unit("a.service", run="2"), []),
        (unit("a.service", "inactive"), ["a.service ran before and is inactive now"]),
        (unit("a.service", "failed"), ["a.service ran before and is failed now"]),
        ({}, ["a.service ran before and is gone now"]),
        (unit("a.service", "activating", NRestarts="3"), ["a.service was started again 3 times by systemd"]),
        ({**unit("a.service"), **unit("b.service", "failed")}, ["b.service has failed"]),
    ],
)
def test_what_a_change_must_not_do_to_units(now: dict[str, Any], said: list[str]) -> None:
    assert unwell(unit("a.service"), now) == said


def test_what_was_wrong_before_is_not_held_against_a_change() -> None:
    before = {**unit("a.service", "failed"), **unit("b.service", NRestarts="7")}
    assert unwell(before, before) == []


def test_what_needs_a_restart_of_the_host() -> None:
    assert services.wants_restart(["/etc/a", "/boot/vmlinuz-1"])
    assert not services.wants_restart(["/etc/a", "/usr/lib/python3/a"])
