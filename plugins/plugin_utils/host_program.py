# SPDX-License-Identifier: GPL-3.0-or-later
"""Has one of Kijun's own programs on a host do something: JSON on its standard input, a line of JSON as its answer."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

Json = dict[str, Any]

QUIET = 60
"""Seconds after which a program that still works is heard of: AWX may end a job that prints nothing for long."""

UNKNOWN = 127
"""sh(1): there is no such program."""


class Busy(AnsibleActionFail):
    """The host works on the same thing at this moment."""


def do(
    action: ActionBase,
    program: str,
    words: Sequence[str],
    asked: Json | None,
    brought_by: str,
    become_fails: bool = True,
) -> Any:
    """Run a program as root.

    Args:
        action: the action whose host it is.
        program: its path.
        words: its arguments; they stand in the list of processes, so nothing secret is among them.
        asked: what it reads.
        brought_by: the playbook that brings it.
        become_fails: whether a sudo that refuses fails the task; else it counts as a host that cannot be reached.

    Returns:
        Its answer.

    Raises:
        AnsibleActionFail: it is not there, refuses or fails.
        AnsibleConnectionFailure: the host cannot be reached.
        Busy: see there.
    """
    line = " ".join(["exec", program, *(action._connection._shell.quote(word) for word in words)])
    data = json.dumps(asked).encode() if asked is not None else b"\n"
    try:
        with heard_of(action, f"{program.rpartition('/')[2]} {words[0]}"):
            done = action._low_level_execute_command(line, in_data=data, sudoable=True)
    except AnsibleConnectionFailure:
        raise
    except AnsibleError as error:
        if become_fails:
            raise
        raise AnsibleConnectionFailure(str(error)) from None
    try:
        answer = json.loads(done["stdout"].strip().splitlines()[-1])
    except (IndexError, ValueError):
        said = " ".join((done["stderr"] or done["stdout"]).split())[-500:]
        if done["rc"] == UNKNOWN:
            said = f"{program} is not on this host; run playbooks/{brought_by} first"
        raise AnsibleActionFail(f"{program} {words[0]} gave no answer (exit status {done['rc']}): {said}") from None
    if isinstance(answer, dict) and answer.get("error") and done["rc"]:
        if answer.get("kind") == "busy":
            raise Busy(answer["error"])
        raise AnsibleActionFail(str(answer["error"]))
    return answer


@contextlib.contextmanager
def heard_of(action: ActionBase, what: str) -> Iterator[None]:
    """Say every minute that something still works, while it does.

    Args:
        action: the action that waits for it.
        what: what works.
    """
    ended, began = threading.Event(), time.monotonic()
    host = action._play_context.remote_addr

    def say() -> None:
        while not ended.wait(QUIET):
            action._display.display(f"  | {host}: {what} has worked for {time.monotonic() - began:.0f} s")

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
