# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the run that started this one how it ended on each host."""

from __future__ import annotations

DOCUMENTATION = """
name: run_outcome
type: aggregate
short_description: tells the run that started this one how it ended on each host
version_added: 0.5.0
description:
  - M(kijun.baseline.change_run) enables it in the run that it starts; nobody else needs it.
  - At the end it writes JSON, host to C(changed), C(failed), C(unreachable) and C(errors), into the file that is named.
options:
  file:
    description: Where to write. Nothing is written where it is not set.
    type: path
    env:
      - name: KIJUN_RUN_OUTCOME
"""

import json
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Collects errors host by host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kijun.baseline.run_outcome"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._errors: dict[str, list[str]] = {}

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note an error; what is ignored is none."""
        if not ignore_errors:
            self._note(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that a host is out of reach."""
        self._note(result)

    def _note(self, result: Any) -> None:
        censored = result.result.get("censored")
        message = str(censored or result.result.get("msg") or result.result.get("stderr") or "no message was given")
        self._errors.setdefault(result.host.name, []).append(f"{result.task_name}: {message.strip()[-500:]}")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it down."""
        path = self.get_option("file")
        if not path:
            return
        outcome = {
            host: {
                "changed": stats.changed.get(host, 0),
                # A host that a rescue section saved is none that failed.
                "failed": bool(stats.failures.get(host)),
                "unreachable": bool(stats.dark.get(host)),
                "errors": self._errors.get(host, []),
            }
            for host in stats.processed
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(outcome, file)
