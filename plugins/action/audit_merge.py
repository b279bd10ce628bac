# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one run of the runs of a job's slices; the documentation stands in plugins/modules/audit_merge.py."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import kept_files
from ..plugin_utils.report import EvidenceError, Report, clause_titles, load_run, write_run
from ..plugin_utils.report.merge import merged, runs_of, written_before
from ..plugin_utils.report_store import StoreError, configured


class ActionModule(ActionBase):
    """Works on the controller, beside whatever host it is run for."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Merge them."""
        result = super().run(tmp, task_vars or {})
        _, arguments = self.validate_argument_spec(
            {
                "jobs": {"type": "list", "elements": "int", "required": True},
                "directory": {"type": "path"},
            }
        )
        directory = Path(arguments["directory"] or os.environ.get("KIJUN_REPORT_DIR") or "reports")
        try:
            if not arguments["jobs"]:
                raise EvidenceError("no job told of an audit, so that there is nothing to make a report of")
            whole, path, changed = _merged(directory, arguments["jobs"], self._task.check_mode)
        except (EvidenceError, StoreError) as error:
            raise AnsibleActionFail("%s (clause SO-6.1-daily-report)" % error) from None
        except OSError as error:
            raise AnsibleActionFail("%s: %s" % (error.filename or directory, error.strerror)) from None
        totals = whole.all_totals()
        result.update(changed=changed, run=path, hosts=len(whole.hosts), totals=totals)
        return result


def _merged(directory: Path, jobs: list[int], check: bool) -> tuple[Report, str, bool]:
    """One run of those that jobs left, here or in the report store; where it is; and whether that is new."""
    store = configured(os.environ)
    kept = store.runs() if store else []
    with tempfile.TemporaryDirectory(prefix="kijun-slices-") as made:
        fetched = Path(made)
        places = [directory, fetched]
        if store:
            ends = tuple(f"Z-{job}" for job in jobs)
            absent = (name for name in kept if name.endswith(ends) and not (directory / name).exists())
            store.fetch(absent, fetched)
        whole = merged([load_run(path) for path in runs_of(places, jobs)])
        if store and whole.run["id"] in kept and not (directory / whole.run["id"]).exists():
            store.fetch([whole.run["id"]], fetched)
        path = written_before(places, whole)
    if store and path and path.parent == fetched:
        return whole, store.at(path.name), False
    changed = path is None
    if path is None and not check:
        path = write_run(directory, whole, clause_titles())
    # One that is here and not there yet, since the store was away then, is brought there now.
    if path and not check and path.name not in kept:
        kept_files.note([path])
    return whole, str(path or ""), changed
