# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters every run into the operations journal: when it begins, and what it came to."""

from __future__ import annotations

DOCUMENTATION = """
name: operations_journal
type: aggregate
short_description: enters every run of a playbook into the operations journal
version_added: 0.5.0
description:
  - Stands beside the usual output and is enabled with C(callbacks_enabled = kijun.baseline.operations_journal).
  - Opens the run's entry in the ledger's book C(operations) before the first task, and closes it at the end. An entry
    that was opened and never closed is a run that was killed.
  - A run of a play that has a host with C(environment_marker_name) C(production) does not start when its entry cannot
    be written. M(kijun.baseline.environment_guard) refuses it as well where this callback is not enabled. Elsewhere it
    goes on, with a warning.
  - What tasks changed and why some failed is kept as the run's work trail, compressed, with its SHA-256 in the entry.
    What C(no_log) hides never comes here; what looks like a secret is hidden.
  - The ledger is the one that the first play's variable C(kijun_ledger_url) names, or O(ledger).
  - Each entry is told to the machine's log in short (C(kijun-journal)), with the hash of the book's newest event; log
    servers keep that as long as the journal itself.
options:
  ledger:
    description: Address of the ledger, where no variable C(kijun_ledger_url) names it.
    type: str
    env:
      - name: KIJUN_LEDGER_URL
    ini:
      - section: callback_kijun_operations_journal
        key: ledger
  enabled:
    description: Whether runs are entered. A run on production does not start without.
    type: bool
    default: true
    env:
      - name: KIJUN_JOURNAL
    ini:
      - section: callback_kijun_operations_journal
        key: enabled
  trail:
    description:
      - Where work trails are kept. C(ledger) puts each into the ledger's book C(work_trails), up to a megabyte
        compressed.
      - An absolute path is a directory, such as one that all controllers share, for up to 16 megabytes a run.
      - C(none) keeps none.
    type: str
    default: ledger
    env:
      - name: KIJUN_JOURNAL_TRAIL
    ini:
      - section: callback_kijun_operations_journal
        key: trail
"""

import atexit
import json
import os
import socket
import sys
import syslog
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.module_utils.ansible_release import __version__ as ansible_version
from ansible.plugins.callback import CallbackBase

from ..plugin_utils.journal import run_entry
from ..plugin_utils.journal.opening import CURRENT
from ..plugin_utils.journal.trail import Trail, as_text, digest, keep_in
from ..plugin_utils.journal.words import BOOK, LARGEST_IN_LEDGER, TRAILS
from ..plugin_utils.ledger import light
from ..plugin_utils.ledger.errors import LedgerError
from ..plugin_utils.ledger.event import Checkpoint
from ..plugin_utils.ledger_address import DEFAULT_URL, is_absent
from ..plugin_utils.report.clauses import collection_version
from ..plugin_utils.report.summary import changed_things
from ..plugin_utils.run_id import id_of

GUARD = "kijun.baseline.environment_guard"
PRODUCTION = "production"
SYSLOG_SOCKET = "/dev/log"
LARGEST_IN_DIRECTORY = 16 << 20


class CallbackModule(CallbackBase):
    """Opens the run's entry, collects what it comes to, and closes it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kijun.baseline.operations_journal"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._process = os.getpid()
        self._began, self._at = time.monotonic(), _now()
        self._id = ""
        self._url = ""
        self._actor = ""
        self._playbook: Any = None
        self._checkout: run_entry.Checkout | None = None
        self._opening: dict[str, Any] = {}
        self._warned = self._closed = False
        self._outcomes = run_entry.Outcomes()
        self._tasks = 0
        self._trail: Trail | None = None

    # ---- what happens ----

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember the playbook, and have git say what state its checkout is in meanwhile."""
        self._playbook = playbook
        if self.get_option("enabled"):
            self._checkout = run_entry.Checkout(getattr(playbook, "_basedir", "") or ".")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Open the run's entry with the first play; a play on production does not start without."""
        if not self._id:
            self._begin(play)
        refusal = CURRENT.refusal()
        if refusal and (names := _production(play)):
            self._display.error("%s: %s" % (", ".join(names[:3]), refusal), wrap_text=False)
            # Of a callback's errors Ansible only warns; this ends the run before a host was asked anything.
            raise SystemExit(1)
        if not CURRENT.is_written and not self._warned and self.get_option("enabled"):
            self._warned = True
            self._display.warning("this run does not stand in the operations journal: %s" % CURRENT.reason)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a change."""
        self._tasks += 1
        task = result.task
        if task.resolved_action == GUARD and isinstance(name := result.result.get("environment"), str):
            self._outcomes.environments.update(filter(None, name.split(", ")))
        if result.is_changed():
            self._outcomes.change(result.host.name, result.task_name, changed_things(result.result))
            self._add(result, "changed")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note a failure; one that is ignored, in the trail alone."""
        if not ignore_errors:
            self._outcomes.failure(result.host.name, result.task_name, _message(result))
        self._add(result, "failed (ignored)" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that a host is out of reach."""
        self._outcomes.failure(result.host.name, result.task_name, _message(result))
        self._add(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Close the run's entry."""
        counts = {name: dict(getattr(stats, name)) for name in run_entry.COUNTS}
        self._end(counts)

    # ---- the entry ----

    def _begin(self, play: Any) -> None:
        """Open the entry, or say why it cannot be."""
        manager = play.get_variable_manager()
        hosts = _hosts(play)
        variables = manager.get_vars(play=play, host=hosts[0] if hosts else None)
        variables = {**variables, **manager.extra_vars}
        self._id = run_entry.name_of(self._at, id_of(self._process))
        CURRENT.emergency = run_entry.line(manager.extra_vars.get("kijun_journal_emergency"))
        self._actor = run_entry.who(variables)
        self._opening = run_entry.opened(
            context.CLIARGS,
            variables,
            {
                "at": self._at,
                "playbook": Path(getattr(self._playbook, "_file_name", "") or "-").name,
                "hosts": [host.name for host in hosts],
                "versions": {
                    "kijun": collection_version(),
                    "ansible": ansible_version,
                    "python": sys.version.split()[0],
                },
                "git": (self._checkout.state(0.1) if self._checkout else {}) or run_entry.of_project(variables),
                "controller": {"name": socket.gethostname(), "process": self._process},
                "emergency": CURRENT.emergency,
            },
        )
        if not self.get_option("enabled"):
            CURRENT.reason = "it is switched off (KIJUN_JOURNAL)"
            return
        if self.get_option("trail") != "none":
            large = LARGEST_IN_LEDGER if self.get_option("trail") == "ledger" else LARGEST_IN_DIRECTORY
            self._trail = Trail(large)
        self._url = _address(variables, play) or self.get_option("ledger") or DEFAULT_URL
        # A run that is interrupted ends without statistics; a killed one without this.
        atexit.register(self._interrupted)
        self._open()

    def _open(self) -> None:
        """Write the entry that says that the run began."""
        try:
            _check_trail(self.get_option("trail"))
            if is_absent(self._url):
                raise LedgerError("there is no ledger (%s); playbooks/ledger_migrate.yml makes one" % DEFAULT_URL)
            fields = {"id": self._id, **self._opening}
            entry = light.Entry(BOOK, self._id, "open", "", fields, ticket=fields["ticket"])
            marks = light.append(self._url, [entry], self._actor)
        except (LedgerError, OSError) as error:
            CURRENT.reason = run_entry.line(error)
            self._tell([])
            return
        CURRENT.run = self._id
        self._tell(marks)

    def _end(self, counts: dict[str, dict[str, int]], outcome: str = "") -> None:
        """Write what the run came to."""
        if self._closed or not self._opening:
            return
        self._closed = True
        if not self.get_option("enabled"):
            return
        if not CURRENT.is_written:
            # The ledger may be there by now: this run may be the one that made it.
            self._open()
            if not CURRENT.is_written:
                return
        try:
            entries, trail = self._trail_entry()
            fields = self._outcomes.closed(
                self._opening,
                counts,
                until=_now(),
                seconds=int(time.monotonic() - self._began),
                outcome=outcome,
                git=self._checkout.state() if self._checkout else None,
                trail=trail,
            )
            closing = light.Entry(BOOK, self._id, "close", "open", fields, ticket=self._opening["ticket"])
            marks = light.append(self._url, [*entries, closing], self._actor)
        except (LedgerError, OSError) as error:
            self._display.error(
                "the end of this run is NOT in the operations journal: %s" % run_entry.line(error), wrap_text=False
            )
            return
        self._opening = {**self._opening, **fields}
        self._tell(marks)

    def _trail_entry(self) -> tuple[list[light.Entry], dict[str, Any] | None]:
        """What is written of the trail, and what the run's entry says of it."""
        if self._trail is None or not self._trail.worth_keeping:
            return [], None
        content = self._trail.ended()
        where = self.get_option("trail")
        entries = []
        if where == "ledger":
            fields = {"id": self._id, "status": "kept", "sha256": digest(content), "content": as_text(content)}
            entries = [light.Entry(TRAILS, self._id, "keep", "", fields)]
        else:
            where = keep_in(where, self._id, content)
        about = {
            "sha256": digest(content),
            "stored": where,
            "bytes": len(content),
            "text_bytes": self._trail.text_bytes,
            "complete": self._trail.complete,
        }
        return entries, about

    def _interrupted(self) -> None:
        """Close the entry of a run that ends otherwise than by itself."""
        if os.getpid() == self._process and not self._closed:
            refused = not CURRENT.is_written
            if not refused:
                self._end({}, "interrupted")

    # ---- besides ----

    def _add(self, result: Any, state: str) -> None:
        """Add a result to the trail."""
        if self._trail is not None:
            self._trail.add(_now(), result.host.name, result.task_name, state, result.result)

    def _tell(self, marks: list[Checkpoint]) -> None:
        """Tell the machine's log, from where log servers have it, and the checkpoints' file."""
        path = os.environ.get("KIJUN_LEDGER_CHECKPOINTS")
        try:
            for mark in marks if path else ():
                light.append_line(str(path), light.checkpoint_line(mark))
        except LedgerError as error:
            self._display.warning(str(error))
        if not os.path.exists(SYSLOG_SOCKET):
            return
        told = run_entry.told(self._id, self._opening, marks)
        if not marks:
            told["not_in_the_journal"] = CURRENT.reason[:200]
        syslog.openlog("kijun-journal", 0, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_NOTICE, json.dumps(told, sort_keys=True))
        for mark in marks:
            syslog.syslog(syslog.LOG_NOTICE, light.checkpoint_line(mark))
        syslog.closelog()


def _hosts(play: Any) -> list[Any]:
    """The hosts of a play, those of later batches too."""
    # The variable manager's inventory has no public name; the names alone would be in ansible_play_hosts_all.
    inventory = play.get_variable_manager()._inventory
    return list(inventory.get_hosts(pattern=play.hosts or "all", ignore_restrictions=True))


def _production(play: Any) -> list[str]:
    """The hosts of a play that belong to production. The controller itself is none: it is where a ledger is made."""
    manager = play.get_variable_manager()
    names = []
    for host in _hosts(play):
        if host.name in C.LOCALHOST:
            continue
        variables = manager.get_vars(play=play, host=host, include_hostvars=False)
        name = variables.get("environment_marker_name")
        if str(_filled(name, variables, play)).strip() == PRODUCTION:
            names.append(host.name)
    return names


def _address(variables: dict[str, Any], play: Any) -> str:
    """The ledger's address that the inventory names, or nothing."""
    return str(_filled(variables.get("kijun_ledger_url"), variables, play) or "")


def _filled(value: Any, variables: dict[str, Any], play: Any) -> Any:
    """A variable, with what stands in it as a template filled in."""
    if isinstance(value, str) and "{{" in value:
        from ansible.template import Templar

        return Templar(loader=play.get_loader(), variables=variables).template(value)
    return value


def _check_trail(where: str) -> None:
    """Refuse a place of trails that is none.

    Raises:
        LedgerError: it is not one.
    """
    if where not in ("ledger", "none") and not os.path.isabs(where):
        raise LedgerError(
            "the callback's option trail (KIJUN_JOURNAL_TRAIL) is %r; it must be ledger, none or an absolute path "
            "(clause GL-3.2-5)" % where
        )


def _message(result: Any) -> str:
    """A failed result's error, in one piece."""
    return str(result.result.get("msg") or result.result.get("censored") or "no message was given").strip()


def _now() -> str:
    """The time now, as the journal has times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
