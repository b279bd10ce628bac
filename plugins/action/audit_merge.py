# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one run of the runs of a job's slices; the documentation stands in plugins/modules/audit_merge.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.report import EvidenceError, clause_titles, load_run, write_run
from ..plugin_utils.report.merge import merged, runs_of, written_before


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
            whole = merged([load_run(path) for path in runs_of(directory, arguments["jobs"])])
            path = written_before(directory, whole)
            changed = path is None
            if path is None and not self._task.check_mode:
                path = write_run(directory, whole, clause_titles())
        except EvidenceError as error:
            raise AnsibleActionFail("%s (clause SO-6.1-daily-report)" % error) from None
        except OSError as error:
            raise AnsibleActionFail("%s: %s" % (error.filename or directory, error.strerror)) from None
        totals = whole.all_totals()
        result.update(changed=changed, run=str(path or ""), hosts=len(whole.hosts), totals=totals)
        return result
