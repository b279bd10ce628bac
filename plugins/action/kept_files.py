# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which files a playbook leaves; the documentation stands in plugins/modules/kept_files.py."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import kept_files


class ActionModule(ActionBase):
    """Works on the controller, beside whatever host it is run for."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Note them."""
        result = super().run(tmp, task_vars or {})
        _, arguments = self.validate_argument_spec({"files": {"type": "list", "elements": "path", "required": True}})
        paths = [os.path.abspath(path) for path in arguments["files"]]
        missing = [path for path in paths if not os.path.isfile(path)]
        if missing and not self._task.check_mode:
            raise AnsibleActionFail("files names %s; it must name files of the controller" % ", ".join(missing))
        kept_files.note(paths)
        result.update(changed=False, files=paths)
        return result
