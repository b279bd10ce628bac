# SPDX-License-Identifier: GPL-3.0-or-later
"""Returns what a file says a task returned, so that the callback is tested with results of a known content.

The file FEED/HOST.json holds a task's result; without it the task fails, as an audit does that cannot run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        path = Path(os.environ["FEED"]) / f"{(task_vars or {})['inventory_hostname']}.json"
        if not path.exists():
            return {"failed": True, "msg": "the audit did not run on this host"}
        return json.loads(path.read_text(encoding="utf-8"))
