# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that a bench simulates: it answers as a real one did, and costs nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
name: simulated
short_description: Answers as a real host did
version_added: "0.6.0"
author: Kijun developers
description:
  - Whatever is executed answers what is in the file that the environment variable C(KIJUN_ANSWER) names.
  - With C(KIJUN_ANSWER_OF), a host of the lab, it is executed there, as root, and that file is written.
options: {}
"""

import os
import subprocess
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    """Replays one answer, or has it from a host of the lab."""

    transport = "simulated"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """What the host answers."""
        file, host = Path(os.environ["KIJUN_ANSWER"]), os.environ.get("KIJUN_ANSWER_OF")
        if not host:
            return 0, file.read_bytes(), b""
        line = ["lab/lab", "exec", host, "--", "sh", "-c", cmd]
        done = subprocess.run(line, input=in_data, capture_output=True, check=False)
        file.write_bytes(done.stdout)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Nothing is copied: what an audit needs goes with the command."""
        raise AnsibleError("a simulated host takes no file")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Nothing is fetched."""
        raise AnsibleError("a simulated host has no file")

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False
