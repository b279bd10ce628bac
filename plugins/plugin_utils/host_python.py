# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host's own Python something, over the connection that Ansible has, without bringing Ansible's library along.

An ordinary module brings 170 KB with it and spends 0.1 s loading it, at each run. What only reads needs none of that:
its part of plugins/module_utils goes as one archive on standard input, is imported from memory, and leaves nothing on
the host's disk (docs/decisions/0003-audit-without-ansiballz.md).
"""

from __future__ import annotations

import base64
import bz2
import functools
import io
import json
import pathlib
import zipfile
import zlib
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

IMPORTS = """\
import base64, bz2, os, sys, zlib
fd = os.memfd_create("kijun")
os.write(fd, bz2.decompress(base64.b64decode("{archive}")))
sys.path.insert(0, "/proc/self/fd/%d" % fd)
sys.dont_write_bytecode = True
"""
"""After it, the package ``kijun`` of an `archive` can be imported."""

LAUNCHER = (
    IMPORTS
    + """\
from kijun.{module} import main
main(zlib.decompress(base64.b64decode("{argument}")).decode())
"""
)


def launcher(shipped: tuple[str, ...], module: str, argument: Any) -> str:
    """What a host's Python is given on standard input.

    Args:
        shipped: patterns of the files that the module needs, itself among them.
        module: the module whose ``main`` is called.
        argument: what it is given, as JSON.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(argument, default=str).encode())).decode()
    return LAUNCHER.format(archive=archive(shipped), module=module, argument=packed)


@functools.lru_cache(maxsize=8)
def archive(shipped: tuple[str, ...]) -> str:
    """Pack files of plugins/module_utils as the package ``kijun``.

    Args:
        shipped: patterns of files.

    Returns:
        A zip archive, compressed as a whole (which takes a fifth less than each file by itself) by bzip2 (which takes a
        quarter less than deflate, and 0.02 s where LZMA takes 0.12), in base64.
    """
    folder = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("kijun/__init__.py", "")
        for pattern in shipped:
            for path in sorted(folder.glob(pattern)):
                packed.writestr("kijun/%s" % path.relative_to(folder), path.read_bytes())
    return base64.b64encode(bz2.compress(buffer.getvalue())).decode()


class HostPythonAction(ActionBase):
    """An action that asks the host's own Python."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def ask(self, module: str, shipped: tuple[str, ...], argument: Any, variables: dict[str, Any]) -> dict[str, Any]:
        """Run ``main`` of a module of plugins/module_utils on the host.

        Args:
            module: the module; its ``main`` takes JSON and prints one line of JSON.
            shipped: patterns of the files that it needs, itself among them.
            argument: what it is given.
            variables: the task's variables.

        Returns:
            What it printed.

        Raises:
            AnsibleActionFail: the user cannot become root there, or the host's Python did not answer; says why.
        """
        python = variables.get("ansible_python_interpreter") or ""
        if not python.startswith("/"):
            python = "/usr/bin/python3"
        script = launcher(shipped, module, argument)
        self._display.vvvv("%s payload: %d bytes" % (module, len(script)), host=variables["inventory_hostname"])
        try:
            done = self._low_level_execute_command(python + " -I -S -", in_data=script.encode(), sudoable=True)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:  # the connection's way of saying that sudo refused
            raise AnsibleActionFail(
                "%s cannot become root on this host: %s; sudo must let that user, without a password or with the one "
                "in ansible_become_password (--ask-become-pass)" % (variables.get("ansible_user") or "the user", error)
            ) from None
        try:
            answer: dict[str, Any] = json.loads(done["stdout"].strip().splitlines()[-1])
        except (IndexError, ValueError):
            said = (done["stderr"] or done["stdout"]).strip()[-500:]
            raise AnsibleActionFail(
                "%s did not run with %s on this host (exit status %s): %s" % (module, python, done["rc"], said)
            ) from None
        return answer
