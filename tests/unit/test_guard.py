# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's record: what is kept, what comes back, what a second step adds. Timers are proven on hosts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import guard as guard_module
from ansible_collections.kijun.baseline.plugins.module_utils.guard import Guard, GuardError, Keys
from ansible_collections.kijun.baseline.plugins.plugin_utils.run_id import run_id

RUN = {"run": "a" * 16, "seconds": 30}
OTHER = {"run": "b" * 16, "seconds": 30}


class Quiet(Guard):
    """A guard without systemd, which counts the timers that it would start."""

    timers = 0

    def _install(self) -> None:
        pass

    def _start_timer(self, seconds: int) -> None:
        self.timers += 1

    @staticmethod
    def _stop_timers() -> None:
        pass


@pytest.fixture
def guard(tmp_path: Path) -> Quiet:
    return Quiet(str(tmp_path / "guard"), str(tmp_path / "run"), [])


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "present").write_text("old\n")
    (folder / "present").chmod(0o640)
    (folder / "link").symlink_to("present")
    return folder


def test_files_come_back_as_they_were(guard: Quiet, etc: Path) -> None:
    """Changed, removed, made, a link turned elsewhere, a directory with what is in it."""
    paths = [str(etc / name) for name in ("present", "link", "made", "new/deep/made")]
    guard.arm(RUN, paths)
    (etc / "present").unlink()
    (etc / "link").unlink()
    (etc / "link").symlink_to("elsewhere")
    (etc / "made").write_text("new\n")
    (etc / "new/deep").mkdir(parents=True)
    (etc / "new/deep/made").write_text("new\n")
    report = guard.take_back("reason")
    assert report is not None
    assert (etc / "present").read_text() == "old\n"
    assert (etc / "present").stat().st_mode & 0o7777 == 0o640
    assert (etc / "link").readlink() == Path("present")
    assert sorted(path.name for path in etc.iterdir()) == ["link", "present"]
    assert set(paths) <= set(report["restored"])
    assert report["failures"] == []
    assert guard.pending() is None
    assert not Path(guard.kept).exists()


def test_the_oldest_state_counts(guard: Quiet, etc: Path) -> None:
    """A second step of a run adds to what is kept, and each has a timer."""
    path = str(etc / "present")
    guard.arm(RUN, [path])
    (etc / "present").write_text("newer\n")
    guard.arm(RUN, [path, str(etc / "made")])
    (etc / "present").write_text("newest\n")
    guard.take_back("reason")
    assert (etc / "present").read_text() == "old\n"
    assert guard.timers == 2


def test_a_confirmed_change_stays(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    (etc / "present").write_text("new\n")
    assert guard.confirm(RUN["run"]) == {"state": "confirmed", "report": None}
    assert guard.take_back("too late") is None
    assert (etc / "present").read_text() == "new\n"
    assert guard.confirm(RUN["run"])["state"] == "none"


def test_a_report_is_told_once(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    guard.take_back("reason")
    answer = guard.confirm(RUN["run"])
    assert answer["state"] == "taken back"
    assert answer["report"]["reason"] == "reason"
    report = guard.report()
    assert report is not None
    assert report["told"]


def test_another_run_takes_back_first(guard: Quiet, etc: Path) -> None:
    """What hangs is not taken for the state to go back to."""
    guard.arm(RUN, [str(etc / "present")])
    (etc / "present").write_text("unconfirmed\n")
    assert guard.confirm(OTHER["run"])["state"] == "foreign"
    assert guard.settle(RUN["run"]) is None
    assert guard.settle(OTHER["run"]) is not None
    assert (etc / "present").read_text() == "old\n"


def test_of_two_runs_at_once_the_first_ends_and_never_half_of_each_stays(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    (etc / "present").write_text("of the first\n")
    guard.settle(OTHER["run"])
    guard.arm(OTHER, [str(etc / "present")])
    (etc / "present").write_text("of the other\n")
    # The first's next step, in whichever order they come.
    with pytest.raises(GuardError, match=r"was taken back at .* another run began"):
        guard.settle(RUN["run"])
    with pytest.raises(GuardError, match="another run changes this host"):
        guard.arm(RUN, [str(etc / "made")])
    assert guard.take_back_own(RUN["run"], "a step failed")["state"] == "taken back"
    assert (etc / "present").read_text() == "of the other\n"
    assert guard.confirm(OTHER["run"])["state"] == "confirmed"
    # It was told, and so may begin again.
    assert guard.settle(RUN["run"]) is None
    assert (etc / "present").read_text() == "of the other\n"


def test_a_run_whose_time_was_over_does_not_go_on(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    guard.take_back("nobody confirmed it")
    with pytest.raises(GuardError, match="nobody confirmed it"):
        guard.settle(RUN["run"])
    for number in range(guard_module.LOSERS):
        guard.arm({"run": "%016d" % number, "seconds": 30}, [str(etc / "present")])
        guard.take_back("reason")
    assert len(json.loads(Path(guard.losers_path).read_text())) == guard_module.LOSERS


def test_what_is_kept_is_for_root_alone(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    for folder, folders, files in os.walk(guard.directory):
        for name in [*folders, *files]:
            assert (Path(folder) / name).stat().st_mode & 0o077 == 0, name


def test_keys_come_back(guard: Quiet, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    keys = home / ".ssh/authorized_keys"
    keys.write_text("ssh-ed25519 AAAA old\n")
    owner = Keys(str(home), os.geteuid(), os.getegid())
    guard.arm(RUN, keys=[owner])
    keys.unlink()
    report = guard.take_back("reason")
    assert report is not None
    assert report["restored"] == [str(keys)]
    assert keys.read_text() == "ssh-ed25519 AAAA old\n"


def test_state_is_loaded_and_commands_run_in_order(guard: Quiet, tmp_path: Path) -> None:
    told = tmp_path / "told"
    request: dict[str, Any] = {
        **RUN,
        "state": [{"save": ["echo", "saved"], "load": ["sh", "-c", f"cat >>{told}"]}],
        "undo": [["sh", "-c", f"echo undone >>{told}"], ["sh", "-c", "echo broken >&2; exit 3"]],
    }
    guard.arm(request)
    guard.arm(request)
    report = guard.take_back("reason")
    assert report is not None
    assert told.read_text() == "saved\nundone\n"
    assert report["failures"] == ["sh -c echo broken >&2; exit 3: exit status 3: broken"]


def test_a_starting_host_runs_no_commands(guard: Quiet, tmp_path: Path) -> None:
    guard.arm({**RUN, "undo": [["touch", str(tmp_path / "ran")]]})
    guard.take_back("reason", starting=True)
    assert not (tmp_path / "ran").exists()


def test_it_is_due_at_its_time(guard: Quiet, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not guard.due()
    guard.arm(RUN, [str(etc / "present")])
    assert not guard.due()
    now = guard_module._now()
    monkeypatch.setattr(guard_module, "_now", lambda: now + 31)
    assert guard.due()


def test_state_that_cannot_be_saved_changes_nothing(guard: Quiet) -> None:
    with pytest.raises(GuardError, match=r"cannot be armed.*exit status 1.*nothing was changed"):
        guard.arm({**RUN, "state": [{"save": ["false"], "load": ["true"]}]})
    assert guard.pending() is None


def test_a_damaged_record_is_said(guard: Quiet, etc: Path) -> None:
    guard.arm(RUN, [str(etc / "present")])
    Path(guard.state_path).write_text("{")
    with pytest.raises(GuardError, match="damaged"):
        guard.pending()


def test_taking_back_can_be_repeated_from_any_point(guard: Quiet, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before it lets go, it does the same again."""
    guard.arm(RUN, [str(etc / "present"), str(etc / "made")])
    (etc / "present").write_text("new\n")
    (etc / "made").write_text("new\n")
    monkeypatch.setattr(Guard, "_let_go", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        guard.take_back("reason")
    monkeypatch.undo()
    guard.take_back("again")
    assert (etc / "present").read_text() == "old\n"
    assert not (etc / "made").exists()


def test_the_program_runs_by_itself(tmp_path: Path) -> None:
    """It needs nothing but Python; without a word what to do it does nothing harmful."""
    program = tmp_path / "guard.pyz"
    packed = guard_module._program()
    program.write_bytes(packed)
    assert len(packed) < 40_000
    assert packed == guard_module._program()
    assert "kijun/guard_program.py" in zipfile.ZipFile(io.BytesIO(packed)).namelist()
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(program)!r}); import kijun.guard_program"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_workers_of_a_run_have_one_name_for_it() -> None:
    names = {
        subprocess.run(
            [sys.executable, "-c", "from run_id import run_id; print(run_id())"],
            cwd=Path(__file__).resolve().parents[2] / "plugins/plugin_utils",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(names) == 1
    assert json.dumps(run_id()) not in names
