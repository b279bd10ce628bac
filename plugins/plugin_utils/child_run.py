# SPDX-License-Identifier: GPL-3.0-or-later
"""Another run of ansible-playbook out of a running one: the same inventory, the same secrets, none of them on disk."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.template import is_trusted_as_template

Json = dict[str, Any]

CALLBACK = "kijun.baseline.run_outcome"
PR_SET_PDEATHSIG = 1
PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
FORBIDDEN = ("change.yml", "rollback.yml")
"""Playbooks that themselves open a change."""

OTHERS = ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS")
"""What ansible-runner sets so that a run tells it of itself; this one tells the run that started it."""


MARKS = ("{{", "{%", "{#")
"""What makes a text a template."""


@dataclass
class Secrets:
    """What the running one was given, and the other one is told without a file that holds it.

    Attributes:
        extra: extra variables.
        connection: the password for logins; None without one.
        become: the password for becoming root; None without one.
        vault: (id, password) of vaults.
    """

    extra: Mapping[str, Any]
    connection: str | None = None
    become: str | None = None
    vault: Sequence[tuple[str, bytes]] = ()


@dataclass
class Ended:
    """How it ended.

    Attributes:
        status: ansible-playbook's exit status.
        hosts: host -> changed, failed, unreachable, errors.
    """

    status: int
    hosts: dict[str, Json]


def run_playbook(
    playbook: str,
    hosts: Sequence[str],
    secrets: Secrets,
    say: Callable[[str], None],
    environment: Mapping[str, str],
    check: bool = False,
    diff: bool = False,
) -> Ended:
    """Run a playbook on some hosts, as this run's command line has it otherwise.

    Args:
        playbook: its path.
        hosts: what it is limited to.
        secrets: see `Secrets`.
        say: takes each line of its output as it comes.
        environment: variables that it gets beside this run's own.
        check: whether it only looks.
        diff: whether it shows differences.

    Raises:
        OSError: it could not be started.
    """
    with ExitStack() as stack:
        outcome = stack.enter_context(tempfile.NamedTemporaryFile(prefix="kijun-outcome-"))
        limit = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="kijun-limit-"))
        limit.write("\n".join(hosts) + "\n")
        limit.flush()
        spoken = stack.enter_context(tempfile.TemporaryDirectory(prefix="kijun-spoken-", dir=C.DEFAULT_LOCAL_TMP))

        def hidden(content: bytes) -> str:
            return stack.enter_context(_spoken(Path(spoken), content))

        words = [*_command_line(), "--limit", f"@{limit.name}"]
        words += ["-e", "@" + hidden(as_variables(secrets.extra).encode())]
        if secrets.connection is not None:
            words += ["--connection-password-file", hidden(secrets.connection.encode())]
        if secrets.become is not None:
            words += ["--become-password-file", hidden(secrets.become.encode())]
        for name, password in secrets.vault:
            words += ["--vault-id", f"{name}@{hidden(password)}"]
        words += ["--check"] if check else []
        words += ["--diff"] if diff else []
        process = subprocess.Popen(
            [*words, playbook],
            env=_environment(outcome.name, environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=_dies_with_parent,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                say(line.rstrip("\n"))
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        written = Path(outcome.name).read_text("utf-8")
        return Ended(status, json.loads(written) if written else {})


class _Dumper(yaml.SafeDumper):
    """Marks as `!unsafe` whatever text this run would not template either, such as an answer of a survey in AWX."""

    def represent_data(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            return self.represent_dict(dict(data))
        if isinstance(data, list | tuple):
            return self.represent_list(list(data))
        if data is None or isinstance(data, bool):
            return super().represent_data(data)
        for kind in (int, float):
            # Ansible's own of these have tags, which YAML does not know.
            if isinstance(data, kind):
                return super().represent_data(kind(data))
        text = str(data)
        plain = is_trusted_as_template(data) or is_trusted_as_template(text) or not any(m in text for m in MARKS)
        # No mark without need: what stands behind one Ansible reads as if it were not quoted, and makes "yes" true.
        return self.represent_scalar("tag:yaml.org,2002:str" if plain else "!unsafe", text, style='"')

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_variables(given: Mapping[str, Any]) -> str:
    """Extra variables as a file of them has it: what is text here stays text there.

    Args:
        given: names and values, as Ansible has them.
    """
    return yaml.dump(dict(given), Dumper=_Dumper, allow_unicode=True, width=10**9)


def _command_line() -> list[str]:
    """The part of this run's command line that says where hosts are and how to reach them."""
    given: Mapping[str, Any] = context.CLIARGS
    words = [sys.executable, "-m", "ansible", "playbook"]
    for source in given.get("inventory") or ():
        words += ["-i", source]
    for option, key in (
        ("--user", "remote_user"),
        ("--private-key", "private_key_file"),
        ("--connection", "connection"),
        ("--timeout", "timeout"),
        ("--forks", "forks"),
        ("--become-method", "become_method"),
        ("--become-user", "become_user"),
        ("--ssh-common-args", "ssh_common_args"),
        ("--ssh-extra-args", "ssh_extra_args"),
    ):
        if given.get(key):
            words += [option, str(given[key])]
    for option, key in (("--tags", "tags"), ("--skip-tags", "skip_tags")):
        for tag in given.get(key) or ():
            words += [option, tag]
    if given.get("become"):
        words.append("--become")
    verbosity = int(given.get("verbosity") or 0)
    return [*words, *(["-" + "v" * verbosity] if verbosity else [])]


def _environment(outcome: str, more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OTHERS}
    enabled = [name for name in C.config.get_config_value("CALLBACKS_ENABLED") or [] if name != CALLBACK]
    return {
        **kept,
        **more,
        "ANSIBLE_CALLBACKS_ENABLED": ",".join([*enabled, CALLBACK]),
        "KIJUN_RUN_OUTCOME": outcome,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _spoken(folder: Path, content: bytes) -> Iterator[str]:
    """A path that gives a content to whoever reads it, as often as it is read, and that holds none: a fifo(7).

    Ansible follows links before it opens a file, and so finds nothing behind those to descriptors.
    """
    path = folder / f"{len(list(folder.iterdir()))}"
    os.mkfifo(path, 0o600)
    ended = threading.Event()
    thread = threading.Thread(target=_speak, args=(path, content, ended), daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        ended.set()
        thread.join()


def _speak(path: Path, content: bytes, ended: threading.Event) -> None:
    """Write a content to each reader of a fifo, once."""
    answered = False
    while not ended.wait(0.02):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return
            answered = False  # nobody reads: the next one is another reader
            continue
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
            if not answered:
                os.set_blocking(descriptor, True)
                pipe.write(content)
                answered = True


def _dies_with_parent() -> None:
    """A run that is killed takes the one that it started with it (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def vault_secrets(loader: Any) -> list[tuple[str, bytes]]:
    """The vault passwords that this run was given.

    Args:
        loader: its DataLoader.
    """
    # Ansible has no public name for them; its own command line hands them to the loader so.
    return [(name, bytes(secret.bytes)) for name, secret in getattr(loader._vault, "secrets", None) or ()]


def find_playbook(name: str, base: Path) -> Path:
    """The playbook that is meant.

    Args:
        name: its path, or the name of one of Kijun's, with or without its ending.
        base: the folder that relative paths start at, beside the working directory.

    Raises:
        AnsibleActionFail: there is none, or it is one that itself changes hosts in this way.
    """
    file = name if name.endswith((".yml", ".yaml")) else name + ".yml"
    for path in (Path(file), base / file, PLAYBOOKS / file):
        if path.is_file():
            if path.name in FORBIDDEN and path.resolve().parent == PLAYBOOKS:
                raise AnsibleActionFail(f"kijun_change_playbook is {name!r}, which itself opens a change")
            return path
    raise AnsibleActionFail(
        f"kijun_change_playbook is {name!r}; there is no such file here, and none of that name in {PLAYBOOKS}"
    )
