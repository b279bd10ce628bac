# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what an audit found, and says in a few lines what a run came to."""

from __future__ import annotations

DOCUMENTATION = """
name: evidence
type: aggregate
short_description: keeps the evidence of an audit and prints a short summary for each host
version_added: 0.1.0
description:
  - Stands beside the usual output and is enabled with C(callbacks_enabled = kijun.baseline.evidence).
  - An audit (a play with the task M(kijun.baseline.control_audit)) leaves a directory named after the time it started
    at, with one JSON record a host (C(hosts/HOST.json)), a page for people (C(report.html)) and a file for CI systems
    (C(junit.xml)), and C(latest) points at it. Nobody but the user who ran the audit can read them.
  - In AWX the directory's name ends in the job's number, by which M(kijun.baseline.audit_merge) finds the runs of a
    job's slices.
  - A host of the play that gave no evidence, because it was out of reach, failed, or its turn never came, stands in
    the report as not audited, with the error.
  - Any other run leaves no file; the summary says what was changed on each host and what failed.
  - When the evidence cannot be written, an error says so after the summary. The exit code stays the playbook's own,
    because Ansible gives a callback no say in it; what depends on the report must look for the report.
  - Where O(store) is set, the audit's directory and all other files that the run left for people are copied there when
    it ends, are read back, and the summary says where they are. A store that is none ends the run before its first
    play; one that cannot be reached at its end is an error as above, and what is here stays here.
options:
  directory:
    description: Where runs are kept. A relative path starts at the directory C(ansible-playbook) is called in.
    type: path
    default: reports
    env:
      - name: KIJUN_REPORT_DIR
    ini:
      - section: callback_kijun_evidence
        key: directory
  before:
    description: The directory of an earlier run (or C(reports/latest)); the page then shows what changed since.
    type: path
    env:
      - name: KIJUN_REPORT_BEFORE
    ini:
      - section: callback_kijun_evidence
        key: before
  store:
    description:
      - A folder that C(rclone) reaches, as it calls it, such as C(store:kijun/reports); S3-compatible or SFTP. The
        remote (C(store)) is configured in the file that the variable C(RCLONE_CONFIG) names, as C(rclone) has it.
      - What is there is never overwritten.
    type: str
    env:
      - name: KIJUN_REPORT_STORE
  store_seconds:
    description: How long a run may spend on the store, 5 to 7200 seconds.
    type: str
    default: "300"
    env:
      - name: KIJUN_REPORT_STORE_SECONDS
  language:
    description: The language of the printed summary. The page itself holds both.
    type: str
    choices: [en, ja]
    default: en
    env:
      - name: KIJUN_LANG
    ini:
      - section: callback_kijun_evidence
        key: language
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

from ..plugin_utils import kept_files
from ..plugin_utils.report import (
    EvidenceError,
    Report,
    clause_titles,
    collection_version,
    load_run,
    unaudited_record,
    write_run,
)
from ..plugin_utils.report.summary import Summary, changed_things
from ..plugin_utils.report.texts import TEXTS
from ..plugin_utils.report.values import one_line
from ..plugin_utils.report_store import RUN, Store, StoreError, configured, name_in_store
from ..plugin_utils.run_id import id_of
from ..plugin_utils.workers import lighten_forks

AUDIT = "kijun.baseline.control_audit"

_COLOURS = {"ok": C.COLOR_OK, "changed": C.COLOR_CHANGED, "bad": C.COLOR_ERROR}


class CallbackModule(CallbackBase):
    """Collects results host by host; everything is written and said at the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kijun.baseline.evidence"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = _now()
        self._playbook = ""
        self._job = ""
        self._store: Store | None = None
        self._play: Any = None
        self._report: Report | None = None
        self._expected: set[str] = set()
        self._groups: dict[str, list[str]] = {}
        self._changed: dict[str, list[tuple[str, list[str]]]] = {}
        self._errors: dict[str, str] = {}

    # ---- what happens ----

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember the playbook's name for the records, before the first worker is forked.

        Raises:
            SystemExit: the report store is none that can be used. Of a callback's errors Ansible only warns.
        """
        # It has nothing to do with evidence; but this is the one part of Kijun that every run loads.
        lighten_forks()
        # The name has no public accessor; ansible-core's own callbacks read it the same way.
        self._playbook = Path(playbook._file_name).name
        try:
            self._store = configured(os.environ)
        except StoreError as error:
            self._display.error(str(error), wrap_text=False)
            raise SystemExit(1) from None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Remember the play, whose hosts are asked for only if it turns out to audit."""
        self._play = play
        job = str(play.get_variable_manager().extra_vars.get("awx_job_id", ""))
        self._job = job if job.isascii() and job.isdigit() else ""

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """An audit that starts owes evidence of every host of its play."""
        if task.resolved_action == AUDIT:
            self._begin_audit()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take evidence, or note a change."""
        if "evidence" in result.result:
            self._take(result)
        elif result.is_changed():
            change = (result.task_name, changed_things(result.result))
            self._changed.setdefault(result.host.name, []).append(change)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Take evidence from an audit that fails on purpose, or note the error."""
        if "evidence" in result.result:
            self._take(result)
        if not ignore_errors:
            self._errors[result.host.name] = f"{result.task_name}: {_message(result)}"

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that a host is out of reach."""
        self._errors[result.host.name] = f"unreachable: {_message(result)}"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Say what the run came to and, after an audit, keep the evidence."""
        # An error that a rescue section dealt with did not end the run for its host.
        errors = {host: text for host, text in self._errors.items() if host in stats.failures or host in stats.dark}
        summary = Summary(self.get_option("language"))
        if self._report is None:
            lines = summary.changes(sorted(stats.processed), self._changed, errors)
            self._print("print_heading_changes", [*self._ticket(stats), *lines])
            self._send([])
            return
        self._finish(self._report, errors)
        self._print("print_heading_audit", summary.audit(self._report))
        self._send(self._keep(self._report))

    # ---- evidence ----

    def _begin_audit(self) -> Report:
        """Open the run's report when its first audit starts, and expect evidence of all hosts of the current play."""
        if self._report is None:
            self._report = Report(
                {
                    "id": self._started.strftime("%Y%m%dT%H%M%SZ"),
                    "started": _text(self._started),
                    "finished": None,
                    "playbook": self._playbook,
                    "version": collection_version(),
                }
            )
        if self._play is not None:
            # ansible_play_hosts_all holds the hosts of later batches too, which may never get their turn.
            variables = self._play.get_variable_manager().get_vars(play=self._play)
            self._expected.update(str(name) for name in variables["ansible_play_hosts_all"])
            # Slices of a job start in the same second; audit_merge finds each run by its job's number.
            if self._job and "-" not in self._report.run["id"]:
                self._report.run["id"] += f"-{self._job}"
            self._groups = variables["groups"]
            self._play = None
        return self._report

    def _take(self, result: Any) -> None:
        """Add a host's evidence; what cannot be used as evidence leaves the host unaudited, and says why."""
        report = self._begin_audit()
        try:
            report.add(result.host.name, result.result["evidence"])
        except EvidenceError as error:
            self._add_unaudited(report, result.host.name, str(error))

    def _finish(self, report: Report, errors: dict[str, str]) -> None:
        """Write down the hosts that gave no evidence."""
        report.run["finished"] = _text(_now())
        for name in sorted(self._expected - report.hosts.keys()):
            self._add_unaudited(report, name, errors.get(name, "the run ended before the host's turn came"))

    def _add_unaudited(self, report: Report, name: str, why: str) -> None:
        """Add the record of a host without evidence."""
        groups = sorted(group for group, hosts in self._groups.items() if group != "all" and name in hosts)
        report.add(name, unaudited_record(name, groups, why, _text(_now())))

    def _keep(self, report: Report) -> list[Path]:
        """Write the run's directory, and say where it is or why there is none.

        Returns:
            It, where it was written.
        """
        try:
            directory = Path(self.get_option("directory"))
            written = write_run(directory, report, clause_titles(), self._before())
        except OSError as error:
            self._display.error(f"the evidence of this audit was NOT kept: {error}", wrap_text=False)
            return []
        self._display.display(self._words("print_report").format(path=written / "report.html"))
        return [written]

    def _send(self, audits: list[Path]) -> None:
        """Copy what the run left to the store, and say where it is or why it is not there."""
        if self._store is None:
            return
        directory = Path(self.get_option("directory"))
        run = self._started.strftime("%Y%m%dT%H%M%SZ") + "-" + (self._job or id_of(os.getpid()))
        files: dict[str, Path] = {}
        for path in [*audits, *kept_files.noted()]:
            if path.is_dir():
                files |= {str(path.name / file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
            else:
                files[name_in_store(path, run, directory)] = path
        try:
            places = self._store.keep(files) if files else []
        except (StoreError, OSError) as error:
            self._display.error(f"what this run left was NOT kept in the report store: {error}", wrap_text=False)
        else:
            for place in places:
                self._display.display(self._words("print_stored").format(place=place))

    def _before(self) -> Report | None:
        """The earlier run to compare with; a run that cannot be read costs the comparison, not the evidence."""
        path = self.get_option("before")
        if not path:
            return None
        try:
            if self._store is None or Path(path).exists():
                return load_run(Path(path))
            with tempfile.TemporaryDirectory(prefix="kijun-before-") as made:
                return load_run(self._store.fetch([self._named(Path(path).name)], Path(made))[0])
        except (EvidenceError, StoreError) as error:
            self._display.warning(f"the report compares with no earlier run: {error}")
            return None

    def _named(self, name: str) -> str:
        """The run in the store that is meant, where it is not here: the newest is called `latest` there, too."""
        assert self._store is not None
        if name != "latest":
            if not RUN.fullmatch(name):
                raise EvidenceError(f"{name!r} is no run's name")
            return name
        if runs := self._store.runs():
            return runs[-1]
        raise EvidenceError(f"{self._store.remote} holds no run")

    # ---- printing ----

    def _words(self, key: str) -> str:
        """A text in the summary's language."""
        return TEXTS[self.get_option("language")][key]

    def _ticket(self, stats: Any) -> list[tuple[str, str]]:
        """The line that names the change's ticket, where kijun.baseline.environment_guard saw one."""
        ticket = stats.custom.get("_run", {}).get("kijun_change_ticket")
        return [(self._words("print_ticket").format(ticket=one_line(ticket)), "ok")] if ticket else []

    def _print(self, heading: str, lines: list[tuple[str, str]]) -> None:
        """Print the summary."""
        self._display.banner(self._words(heading))
        for text, state in lines:
            self._display.display(text, color=_COLOURS[state])


def _message(result: Any) -> str:
    """A failed result's error, in one piece."""
    return str(result.result.get("msg") or result.result.get("censored") or "no message was given").strip()


def _now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def _text(time: datetime) -> str:
    """A time as the records write it (RFC 3339, UTC, seconds)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
