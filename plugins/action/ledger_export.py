# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a book of the ledger to a file; the documentation stands in plugins/modules/ledger_export.py."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from typing import Any

from ..plugin_utils import kept_files
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.interchange.columns import book_named
from ..plugin_utils.ledger.interchange.export import write_events, write_states
from ..plugin_utils.ledger.interchange.fields import LANGUAGES
from ..plugin_utils.ledger.interchange.files import FORMATS, format_of, same_content, written_whole
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

MODE = 0o600
SHOWN = 1024 * 1024
"""Bytes up to which a diff shows a file."""


class ActionModule(LedgerAction):
    """Writes the file anew, and replaces the one there when it holds something else."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Export."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "path": {"type": "path", "required": True},
                "book": {"type": "str", "default": "accounts"},
                "format": {"type": "str", "choices": list(FORMATS)},
                "content": {"type": "str", "choices": ["entries", "events"]},
                "language": {"type": "str", "choices": list(LANGUAGES), "default": "en"},
                "where": {"type": "dict", "default": {}},
                **URL_ARGUMENT,
            }
        )
        path = os.path.abspath(arguments["path"])
        with self.ledger(arguments, variables) as ledger, tempfile.TemporaryDirectory() as folder:
            new = os.path.join(folder, os.path.basename(path))
            count = _write(ledger, new, format_of(path, arguments["format"]), arguments)
            changed = not same_content(path, new) or stat.S_IMODE(os.stat(path).st_mode) != MODE
            if changed and self._task.diff:
                result["diff"] = _diff(path, new)
            if changed and not self._task.check_mode:
                with open(new, "rb") as source, written_whole(path) as target:
                    shutil.copyfileobj(source, target)
                kept_files.note([path])
        result.update(changed=changed, path=path, count=count)
        return result


def _write(ledger: Ledger, path: str, form: str, arguments: dict[str, Any]) -> int:
    name, language = arguments["book"], arguments["language"]
    book = book_named(ledger.books, name)
    content = arguments["content"] or ("events" if form == "jsonl" else "entries")
    if content == "events":
        return write_events(path, book, ledger.events(name, arguments["where"]), form, language)
    return write_states(path, book, ledger.states(name, arguments["where"]), form, language)


def _diff(path: str, new: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": _text(path), "after": _text(new)}


def _text(path: str) -> str:
    """A file's text; a word about it where it has none that could be shown."""
    try:
        with open(path, "rb") as file:
            content = file.read(SHOWN + 1)
        return content.decode("utf-8-sig") if len(content) <= SHOWN else "(more than %d bytes)\n" % SHOWN
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        return "(a workbook)\n"
