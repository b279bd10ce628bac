# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/test counts honestly, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kijun_tools import suite, tree
from kijun_tools.suite import Counts, Part

JUNIT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><error/></testcase>
<testcase name="d"><skipped/></testcase><testcase name="e"><system-out/></testcase>
</testsuite></testsuites>"""


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the logs of the run that runs this test."""
    monkeypatch.setattr(suite, "STATE", tmp_path)
    monkeypatch.setattr(suite, "ROOT", tmp_path)


def shell(name: str, script: str) -> Part:
    return Part(name, ("bash", "-c", script))


def test_a_junit_file_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(JUNIT, encoding="utf-8")
    assert suite.junit_counts(file) == Counts(passed=2, failed=2, skipped=1)


def test_what_failed_is_named_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    script = """cat >$KIJUN_JUNIT/1.xml <<'EOF'
<testsuite><testcase classname="tests.a" name="good"/>
<testcase classname="tests.a" name="bad"><failure message="assert 1 == 2&#10;more"/></testcase></testsuite>
EOF
exit 1"""
    runs = suite.run_together(
        [shell("tests", script), shell("broken", "echo no hosts; exit 3"), shell("good", "exit 0")]
    )
    capsys.readouterr()
    suite.summary(runs, 1.0)
    end = capsys.readouterr().out.splitlines()[-2:]
    assert end == ["tests: tests.a.bad: assert 1 == 2", "broken: exit status 3: no hosts"]


def test_a_part_is_the_sum_of_its_junit_files() -> None:
    script = f"for i in 1 2; do cat >$KIJUN_JUNIT/$i.xml <<'EOF'\n{JUNIT}\nEOF\ndone; exit 1"
    [run] = suite.run_together([shell("tests", script)])
    assert run.counts() == Counts(passed=4, failed=4, skipped=2)


def test_a_part_that_fails_without_a_failed_test_counts_as_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    [run] = suite.run_together([shell("broken", "echo it did not converge; exit 3")])
    assert run.counts() == Counts(failed=1)
    assert "it did not converge" in capsys.readouterr().out, "the log of what failed is not shown"


def test_parts_of_a_stage_run_side_by_side(tmp_path: Path) -> None:
    meet = "touch {mine}; for i in $(seq 100); do [ -e {other} ] && exit 0; sleep 0.1; done; exit 1"
    runs = suite.run_together([shell(a, meet.format(mine=a, other=b)) for a, b in (("x", "y"), ("y", "x"))])
    assert [run.ok() for run in runs] == [True, True]


def test_no_more_run_than_there_are_slots(tmp_path: Path) -> None:
    script = "[ $(ls | grep -c '^running-') -lt 2 ] && touch running-$$ && sleep 0.3 && rm running-$$"
    runs = suite.run_together([shell(str(number), script) for number in range(5)], slots=2)
    assert [run.ok() for run in runs] == [True] * 5
    assert [run.part.name for run in sorted(runs, key=lambda run: run.started)] == list("01234")


def test_a_left_over_junit_file_is_not_counted_again(tmp_path: Path) -> None:
    (tmp_path / "junit" / "again").mkdir(parents=True)
    (tmp_path / "junit" / "again" / "1.xml").write_text(JUNIT, encoding="utf-8")
    [run] = suite.run_together([shell("again", "true")])
    assert run.counts() == Counts()


def is_alive(process: Path) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupted_run_stops_what_it_started_and_says_so(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from kijun_tools import suite
suite.STATE = suite.ROOT = Path({str(tmp_path)!r})
suite.SUITES["fast"] = [(suite.Part("sleeper", ("bash", "-c", "sleep 300 & echo $! > pid; wait")),)]
sys.exit(suite.main(["fast"]))
"""
    env = {**os.environ, "PYTHONPATH": str(tree.ROOT / "tools")}
    runner = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    sleeper = Path("/proc") / pid.read_text().strip()
    assert sleeper.exists()
    runner.send_signal(signal.SIGTERM)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert "stopped by SIGTERM" in output
    # Its signal has been sent; on a busy machine it dies a moment later.
    deadline = time.monotonic() + 10
    while is_alive(sleeper) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(sleeper), "a part's own process outlived the run"


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(SystemExit, match="no part nonsense"):
        suite.chosen_parts(["nonsense"])


def test_one_more_begins_while_the_others_leave_processors_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "LOOK", 0.1)
    script = "touch running-$$; sleep 0.5; ls | grep -c '^running-' >>seen; sleep 0.5; rm running-$$"
    parts = [shell(str(number), script) for number in range(suite.MOST + 3)]

    def most(idle: float) -> int:
        times = iter(range(10**6))
        monkeypatch.setattr(suite, "processor_times", lambda: (int(1000 * idle * (now := next(times))), 1000 * now))
        (tmp_path / "seen").unlink(missing_ok=True)
        assert all(run.ok() for run in suite.run_together(parts, slots=2))
        return max(map(int, (tmp_path / "seen").read_text().split()))

    assert most(suite.SPARE - 0.1) == 2
    assert most(suite.SPARE + 0.1) == suite.MOST


def test_the_processors_times_are_the_kernels() -> None:
    idle, total = suite.processor_times()
    assert 0 < idle < total
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    later_idle, later_total = suite.processor_times()
    assert later_total > total
    assert later_idle - idle < later_total - total


def test_a_failure_is_told_in_a_line_that_says_why() -> None:
    assert suite.gist("assert 1 == 2\n +  where") == "assert 1 == 2"
    printed = (
        "AssertionError: \nPLAY [Make PCs workstations] ***\n[ERROR]: Task failed: the unit did not start\nOrigin: x\n"
    )
    assert suite.gist(printed) == "AssertionError: [ERROR]: Task failed: the unit did not start"
    assert suite.gist("") == ""
