# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs of ansible-playbook in the operations journal: what is entered, what is hidden, and what does not start."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.reading import trail_of
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data" / "journal"
BIN = Path(sys.executable).parent
CALLBACKS = "kijun.baseline.evidence,kijun.baseline.operations_journal"


class Place:
    """A directory with an inventory and a ledger, and runs in it.

    Args:
        folder: the directory.
        environment: what its hosts belong to.
    """

    def __init__(self, folder: Path, environment: str = "lab") -> None:
        self.folder = folder
        self.file = folder / "ledger.sqlite"
        self.url = f"sqlite:///{self.file}"
        self.inventory = folder / "hosts.json"
        self.belong(environment)
        (folder / "ansible.cfg").touch()

    def belong(self, environment: str, **variables: Any) -> None:
        """Say what the hosts belong to."""
        shared = {"environment_marker_name": environment, "ansible_connection": "local", "place": str(self.folder)}
        shared |= {"ansible_python_interpreter": sys.executable, **variables}
        self.inventory.write_text(json.dumps({"all": {"vars": shared, "hosts": {"a": {}, "b": {}}}}), encoding="utf-8")

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The command line of a run."""
        return [str(BIN / "ansible-playbook"), "-i", str(self.inventory), str(DATA / playbook), *arguments]

    def variables(self, **environment: str) -> dict[str, str]:
        """The environment of a run."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "KIJUN_", "SSH_"))}
        return {
            **kept,
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_CALLBACKS_ENABLED": CALLBACKS,
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "KIJUN_LEDGER_URL": self.url,
            "KIJUN_JOURNAL": "yes",
            **environment,
        }

    def run(self, playbook: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook to its end."""
        return subprocess.run(
            self.command(playbook, *arguments),
            cwd=self.folder,
            env=self.variables(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def entries(self) -> list[dict[str, Any]]:
        """The journal's entries, after looking whether both books hold and say what their events made."""
        with Ledger(self.url) as ledger:
            for book in ("operations", "work_trails"):
                assert ledger.verify(book).ok
                assert not ledger.compare(book)
            return [state.fields for state in ledger.states("operations")]

    def was_changed(self) -> bool:
        """Whether a run got as far as its change."""
        return (self.folder / "a.conf").exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    migrate.upgrade(place.url)
    return place


ANSWERS = ("-e", "kijun_change_ticket=CHG-7", "-e", "kijun_change_confirmed=true", "-e", "guarded=true")


def test_a_run_is_entered_with_all_that_is_asked_of_it(place: Place) -> None:
    place.belong("production", kijun_change_test_report_required=True)
    said = {
        "kijun_change_implementer": "suzuki",
        "kijun_change_confirmer": "tanaka",
        "kijun_change_impact": "no logins for a minute",
        "kijun_change_dangers": "the second step",
        "kijun_change_way_back": "rollback.yml",
        "kijun_actor": "suzuki",
    }
    done = place.run("change.yml", *ANSWERS, "-e", json.dumps(said), "--limit", "a:b", "--skip-tags", "never_tag")
    assert done.returncode == 2
    assert "-e kijun_change_test_report=... (clause MR-11-1) and -e kijun_change_decided_by=... (clause MR-11-2)" in (
        done.stdout + done.stderr
    )
    assert not place.was_changed()
    said |= {"kijun_change_test_report": "TR-12", "kijun_change_decided_by": "mori", "failing": ["b"]}
    done = place.run("change.yml", *ANSWERS, "-e", json.dumps(said), "--limit", "a:b", "--skip-tags", "never_tag")
    assert done.returncode == 2, done.stdout + done.stderr
    refused, entry = sorted(place.entries(), key=lambda entry: entry["at"] + str(len(entry["run"]["changes"])))
    assert refused["outcome"] == "failed"
    assert (entry["status"], entry["kind"], entry["outcome"]) == ("finished", "run", "failed")
    assert (entry["ticket"], entry["implementer"], entry["confirmer"]) == ("CHG-7", "suzuki", "tanaka")
    assert (entry["actor"], entry["origin"], entry["hosts"]) == ("suzuki", "no terminal", ["a", "b"])
    assert entry["at"] <= entry["until"]
    run = entry["run"]
    assert (run["playbook"], run["limit"], run["skip_tags"], run["check"]) == (
        "change.yml",
        "a:b",
        ["never_tag"],
        False,
    )
    assert (run["environment"], run["impact"], run["dangers"]) == (
        "production",
        "no logins for a minute",
        "the second step",
    )
    assert (run["way_back"], run["test_report"], run["decided_by"]) == ("rollback.yml", "TR-12", "mori")
    assert set(run["versions"]) == {"kijun", "ansible", "python"}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run["git"].get("head", "") == head.stdout.strip()
    assert run["results"]["a"] == {"ok": 5, "changed": 2, "failed": 0, "unreachable": 0, "skipped": 2}
    assert run["results"]["b"]["failed"] == 1
    # What was rescued or ignored did not end the run for its host; the message's secret is hidden.
    assert [(one["host"], one["task"]) for one in run["failures"] if one["host"] == "a"] == []
    assert run["failures"][-1] == {
        "host": "b",
        "task": "Fail where it is asked for",
        "message": "the token=[hidden] was refused",
    }
    assert {change["task"]: change["hosts"] for change in run["changes"]} == {
        "Write a setting": ["a", "b"],
        "Hand over a secret": ["a", "b"],
    }


def test_the_work_trail_is_kept_with_its_hash_and_without_secrets(place: Place) -> None:
    done = place.run("change.yml", "--diff", "-e", json.dumps({"failing": ["b"]}))
    assert done.returncode == 2
    (entry,) = place.entries()
    with Ledger(place.url) as ledger:
        text = trail_of(ledger, entry)
        kept = ledger.get("work_trails", entry["id"])
    assert kept is not None
    content = base64.b64decode(kept.fields["content"])
    assert entry["run"]["trail"] == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "stored": "ledger",
        "bytes": len(content),
        "text_bytes": len(gzip.decompress(content)),
        "complete": True,
    }
    assert "changed a: Write a setting" in text
    assert "  +level=1" in text
    assert "  +password=[hidden]" in text
    assert "failed (ignored) a: Fail, which does not matter" in text
    assert "changed a: Hand over a secret\n  (hidden: no_log)" in text
    everything = place.file.read_bytes() + gzip.decompress(content)
    for secret in (b"hunter2", b"swordfish", b"abcdef123456"):
        assert secret not in everything


def test_a_trail_goes_into_a_directory_where_that_is_asked_for(place: Place) -> None:
    folder = place.folder / "trails"
    done = place.run("change.yml", KIJUN_JOURNAL_TRAIL=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = place.entries()
    about = entry["run"]["trail"]
    kept = Path(about["stored"])
    assert kept.parent.parent == folder
    assert (kept.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == about["sha256"]
    kept.write_bytes(gzip.compress(b"nothing happened\n"))
    with Ledger(place.url) as ledger, pytest.raises(Exception, match="not the one that the journal has the SHA-256 of"):
        trail_of(ledger, entry)


def test_a_run_that_changes_nothing_leaves_an_entry_and_no_trail(place: Place) -> None:
    done = place.run("look.yml", "--check", KIJUN_JOURNAL_TRAIL="ledger")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    (entry,) = place.entries()
    assert (entry["outcome"], entry["run"]["check"], entry["run"]["trail"]) == ("ok", True, None)
    assert entry["run"]["changes"] == []


def damaged(place: Place) -> None:
    place.file.write_bytes(b"this is no database" * 100)


def without(place: Place) -> None:
    place.file.unlink()


def old(place: Place) -> None:
    with sqlite3.connect(place.file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")


def locked(place: Place) -> Any:
    connection = sqlite3.connect(place.file, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


UNREACHABLE = "postgresql+psycopg://kijun:geheim@127.0.0.1:1/kijun"


@pytest.mark.parametrize(
    ("spoil", "settings", "reason"),
    [
        (without, {}, "there is no such file; playbooks/ledger_migrate.yml makes one"),
        (damaged, {}, "file is not a database"),
        (old, {}, "its tables are of revision 0001"),
        (locked, {}, "database is locked"),
        (None, {"KIJUN_LEDGER_URL": UNREACHABLE}, "postgresql+psycopg://kijun@127.0.0.1:1/kijun cannot be used"),
        (None, {"KIJUN_LEDGER_URL": "mysql://x"}, "a ledger is on sqlite:///PATH or postgresql+psycopg://..."),
        (None, {"KIJUN_JOURNAL": "no"}, "it is switched off (KIJUN_JOURNAL)"),
        (None, {"KIJUN_JOURNAL_TRAIL": "here"}, "it must be ledger, none or an absolute path (clause GL-3.2-5)"),
    ],
    ids=["no file", "damaged", "old", "locked", "unreachable", "foreign", "off", "trail"],
)
def test_no_run_in_production_starts_without_its_entry(
    place: Place, spoil: Any, settings: dict[str, str], reason: str
) -> None:
    place.belong("production")
    held = spoil(place) if spoil else None
    done = place.run("change.yml", *ANSWERS, **settings)
    printed = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, printed
    assert "a, b: this run is on production and stands in no operations journal: " in printed
    assert reason in printed
    assert "geheim" not in printed
    assert "TASK" not in printed, "a task was begun"
    assert not place.was_changed()
    if held:
        held.close()


def test_the_guard_refuses_production_where_the_callback_is_not_enabled(place: Place) -> None:
    place.belong("production")
    done = place.run("change.yml", *ANSWERS, ANSIBLE_CALLBACKS_ENABLED="kijun.baseline.evidence")
    assert done.returncode == 2
    printed = " ".join((done.stdout + done.stderr).split())
    assert "the callback kijun.baseline.operations_journal is not among callbacks_enabled" in printed
    assert "(clause SM-4.11-2)" in printed
    assert not place.was_changed()
    assert place.run("change.yml", *ANSWERS).returncode == 0
    assert place.was_changed()


@pytest.mark.parametrize("environment", ["lab", "staging"])
def test_elsewhere_a_run_goes_on_with_a_warning(place: Place, environment: str) -> None:
    place.belong(environment)
    without(place)
    done = place.run("change.yml", "-e", "guarded=true")
    assert done.returncode == 0, done.stdout + done.stderr
    printed = " ".join((done.stdout + done.stderr).split())
    assert printed.count("this run does not stand in the operations journal: the ledger at ") == 1
    assert place.was_changed()


def test_an_emergency_is_said_with_the_run_itself(place: Place) -> None:
    place.belong("production", kijun_journal_emergency="an inventory's word counts for nothing")
    without(place)
    assert place.run("change.yml", *ANSWERS).returncode == 1
    assert not place.was_changed()
    done = place.run("change.yml", *ANSWERS, "-e", "kijun_journal_emergency='the ledger server is repaired'")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.was_changed()


def test_the_run_that_makes_the_ledger_is_its_first_entry(place: Place) -> None:
    without(place)
    command = [str(BIN / "ansible-playbook"), "-i", str(place.inventory), str(ROOT / "playbooks/ledger_migrate.yml")]
    place.belong("production")
    done = subprocess.run(
        command, cwd=place.folder, env=place.variables(), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = place.entries()
    assert (entry["run"]["playbook"], entry["hosts"], entry["outcome"]) == ("ledger_migrate.yml", ["localhost"], "ok")


@pytest.fixture
def waiting(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A run that waits, opened in the journal."""
    run = subprocess.Popen(
        place.command("change.yml", "-e", "seconds=60"),
        cwd=place.folder,
        env=place.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and not place.was_changed():
        time.sleep(0.1)
    yield run
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_a_killed_run_stays_open_and_the_next_one_is_entered(place: Place, waiting: subprocess.Popen[str]) -> None:
    assert [entry["status"] for entry in place.entries()] == ["open"]
    os.killpg(waiting.pid, signal.SIGKILL)
    waiting.wait()
    (entry,) = place.entries()
    assert (entry["status"], entry["outcome"], entry["hosts"]) == ("open", "", ["a", "b"])
    assert place.run("look.yml").returncode == 0
    assert sorted(entry["status"] for entry in place.entries()) == ["finished", "open"]


def test_an_interrupted_run_says_so(place: Place, waiting: subprocess.Popen[str]) -> None:
    os.killpg(waiting.pid, signal.SIGINT)
    waiting.wait(timeout=60)
    (entry,) = place.entries()
    assert (entry["status"], entry["outcome"]) == ("finished", "interrupted")


def test_the_ledger_is_the_one_that_the_inventory_names(place: Place) -> None:
    place.belong("lab", kijun_ledger_url="sqlite:///{{ place }}/ledger.sqlite")
    done = place.run("look.yml", KIJUN_LEDGER_URL="sqlite:////nowhere/else.sqlite")
    assert done.returncode == 0
    assert len(place.entries()) == 1


def test_ansible_runner_has_its_runs_entered(place: Place) -> None:
    import ansible_runner

    variables = place.variables(PATH=f"{BIN}:{os.environ['PATH']}")
    for name in ("runner", "runner2"):
        (place.folder / name).mkdir()
    done = ansible_runner.run(
        private_data_dir=str(place.folder / "runner"),
        playbook=str(DATA / "change.yml"),
        inventory=str(place.inventory),
        envvars=variables,
        quiet=True,
    )
    assert done.rc == 0
    (entry,) = place.entries()
    assert (entry["status"], entry["outcome"], sorted(entry["run"]["results"])) == ("finished", "ok", ["a", "b"])
    place.belong("production")
    without(place)
    done = ansible_runner.run(
        private_data_dir=str(place.folder / "runner2"),
        playbook=str(DATA / "change.yml"),
        inventory=str(place.inventory),
        envvars=variables,
        extravars={"kijun_change_ticket": "CHG-7", "kijun_change_confirmed": True, "level": 2},
        quiet=True,
    )
    assert (done.status, done.rc) == ("failed", 1)
    assert "level=1" in (place.folder / "a.conf").read_text(encoding="utf-8")
