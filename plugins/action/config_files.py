# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of kijun.baseline.config_files: find and render the contents, then call the module once."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.template import Templar, trust_as_template

from ..plugin_utils.guarded import GuardedAction

MODULE = "kijun.baseline.config_files"
GIVES_CONTENT = ("template", "source", "content")
FILE_OPTIONS = {
    *GIVES_CONTENT,
    *("path", "state", "settings", "separator", "owner", "group", "mode", "secret", "validate"),
}
# What ansible.builtin.template does by default.
JINJA_OVERRIDES = {"trim_blocks": True, "lstrip_blocks": False}


class ActionModule(GuardedAction):
    """Turns templates and sources into contents, so that one module execution has everything."""

    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render every file of the task and put them in place on the host.

        :raises AnsibleActionFail: an entry is wrong or does not render; the host was not touched.
        """
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        for internal in ("contents", "secret_contents"):
            if internal in arguments:
                raise AnsibleActionFail(f"{internal} is filled in by the step itself; give the content in files")
        entries = arguments.get("files")
        if not isinstance(entries, list) or not entries:
            raise AnsibleActionFail("files: a list of at least one entry with a path is needed")

        self._templars: dict[str, Templar] = {}
        described = []
        contents: dict[bool, dict[str, str]] = {False: {}, True: {}}
        for number, entry in enumerate(entries, start=1):
            path, secret = self._check(entry, number)
            data = self._content(path, entry, task_vars)
            if data is not None:
                contents[secret][path] = base64.b64encode(data).decode("ascii")
            described.append({key: value for key, value in entry.items() if key not in GIVES_CONTENT})
        arguments.update(files=described, contents=contents[False], secret_contents=contents[True])
        if "guard" in arguments:  # written without suboptions, it has no value
            arguments["guard"] = arguments["guard"] or {}
        return self.run_module(MODULE, arguments, task_vars)

    @staticmethod
    def _check(entry: Any, number: int) -> tuple[str, bool]:
        """Check how an entry gives its content.

        :param number: its place in the list, from 1, for messages.
        :returns: its path and whether it is secret.
        """
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise AnsibleActionFail(f"files: entry {number} has no path")
        path = entry["path"]
        unknown = sorted({str(key) for key in entry} - FILE_OPTIONS)
        if unknown:
            raise AnsibleActionFail(
                f"{path}: {', '.join(unknown)}: no such option; {', '.join(sorted(FILE_OPTIONS))} are"
            )
        state = entry.get("state", "file")
        given = [key for key in (*GIVES_CONTENT, "settings") if entry.get(key) is not None]
        if state == "file" and len(given) != 1:
            raise AnsibleActionFail(
                f"{path}: gives {' and '.join(given) or 'no content'}; "
                "exactly one of template, source, content and settings is allowed"
            )
        if state != "file" and given:
            raise AnsibleActionFail(f"{path}: gives {' and '.join(given)}, which state {state} does not take")
        if entry.get("mode") is not None and not isinstance(entry["mode"], str):
            raise AnsibleActionFail(f'{path}: mode: {entry["mode"]!r} is a number; write it in quotes, such as "0644"')
        secret = boolean(entry.get("secret", False), strict=True)
        if secret and "settings" in given:
            raise AnsibleActionFail(f"{path}: settings cannot be secret; give template, source or content")
        return path, secret

    def _content(self, path: str, entry: dict[str, Any], task_vars: dict[str, Any]) -> bytes | None:
        """Give an entry's whole content, or None when it has none (a directory, an absent path, a keyed edit)."""
        if entry.get("content") is not None:
            if not isinstance(entry["content"], str):
                raise AnsibleActionFail(f"{path}: content is a {type(entry['content']).__name__}; a text is allowed")
            return entry["content"].encode()
        try:
            if entry.get("source") is not None:
                return Path(self._find_needle("files", entry["source"])).read_bytes()
            if entry.get("template") is not None:
                return self._render(self._find_needle("templates", entry["template"]), task_vars).encode()
        except (AnsibleError, OSError) as error:
            raise AnsibleActionFail(f"{path}: {entry.get('template') or entry.get('source')}: {error}") from error
        return None

    def _render(self, template: str, task_vars: dict[str, Any]) -> str:
        """Render a template file as ansible.builtin.template does."""
        text = self._loader.get_text_file_contents(template)
        templar = self._templar_for(str(Path(template).parent), task_vars)
        try:
            rendered = templar.template(trust_as_template(text), escape_backslashes=False, overrides=JINJA_OVERRIDES)
        except AnsibleError as error:
            raise AnsibleError(f"{_lines_of(error, text)}{error}") from error
        return "" if rendered is None else str(rendered)

    def _templar_for(self, folder: str, task_vars: dict[str, Any]) -> Templar:
        """Give the one templating environment for all templates of a folder: making one costs more than using it."""
        if folder not in self._templars:
            search = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), folder]
            search = [path for base in search for path in (f"{base}/templates", base)]
            self._templars[folder] = self._templar.copy_with_new_env(searchpath=search, available_variables=task_vars)
        return self._templars[folder]


def _lines_of(error: Exception, text: str) -> str:
    """Name the lines of a template that an error is about, as the beginning of a message.

    Jinja knows the line of a syntax error. For an undefined variable it does not, but the error quotes the name.
    """
    line = getattr(error.__cause__, "lineno", None)
    if line:
        return f"line {line}: "
    names = [re.escape(name) for name in re.findall(r"'(\w+)'", str(error))]
    pattern = re.compile(rf"\b(?:{'|'.join(names)})\b")
    lines = [str(number) for number, part in enumerate(text.splitlines(), start=1) if names and pattern.search(part)]
    return f"line {', '.join(lines)}: " if lines else ""
