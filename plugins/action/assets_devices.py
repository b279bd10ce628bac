# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds mobile devices against the book of assets; the documentation stands in plugins/modules/assets_devices.py."""

from __future__ import annotations

import os
from typing import Any

from ..plugin_utils import kept_files
from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.assets import page, table
from ..plugin_utils.assets_devices import KINDS, compare_devices, read_export
from ..plugin_utils.book_report import made_folder
from ..plugin_utils.ledger.interchange.files import read_bytes
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

BOOK = "assets"
TITLE = ("Mobile devices compared with the ledger", "スマートデバイス照合結果")


class ActionModule(LedgerAction):
    """Compares, and writes the page and the list."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "path": {"type": "path", "required": True},
                "columns": {"type": "dict", "required": True},
                "silent_days": {"type": "int", "default": 30},
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **URL_ARGUMENT,
            }
        )
        self.check_settings(variables, "assets")
        files: list[str] = []
        with self.ledger(arguments, variables) as ledger:
            columns = {str(name): str(heading) for name, heading in arguments["columns"].items()}
            devices = read_export(read_bytes(arguments["path"]), columns)
            verification = ledger.verify(BOOK)
            assets = (state.fields for state in ledger.states(BOOK))
            found = compare_devices(assets, devices, self.today(), arguments["silent_days"])
            if arguments["directory"] and not self._task.check_mode:
                folder = made_folder(arguments["directory"])
                files = [os.path.join(folder, name) for name in ("devices.html", "devices.csv")]
                write_page(files[0], page(found, verification, self.today(), KINDS, TITLE))
                write_page(files[1], table(found, arguments["language"], KINDS))
                kept_files.note(files)
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the book of assets"))
        result.update(
            changed=False,
            findings=[
                {"kind": one.kind, "asset": one.asset, "serial": one.host, "said": one.said} for one in found.findings
            ],
            numbers=found.numbers(),
            devices=found.machines,
            files=files,
        )
        return result
