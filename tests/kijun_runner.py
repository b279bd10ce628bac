# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX runs them: its private data directory, ansible-runner, the execution environment, and what comes back.

AWX itself is not needed for it. It writes a folder (`inventory/hosts`, a script; `env/extravars`, where answers of a
survey are marked `!unsafe`; `env/envvars`, `env/cmdline`, `env/settings`, `env/passwords`, `env/ssh_key`, files of
credentials), has `ansible-runner transmit` make a stream of it, gives that to `ansible-runner worker`, and has
`ansible-runner process` read what the worker says. So does `run_job`, with the same programs.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import ansible_runner
import yaml
from ansible.parsing.dataloader import DataLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from kijun_hosts import ROOT
from kijun_lab import description, execution_environment, hosts, identity
from kijun_lab.podman import ENVIRONMENT, podman

BIN = Path(sys.executable).parent
RUNNER = "/runner"
"""Where the private data directory is in a container."""

ARBITRARY_USER = 1_000_660_000
"""A user of whom the image knows nothing, as Kubernetes with OpenShift's rules gives one to each namespace."""

LARGEST_EVENT = 700_000
"""Bytes of an event's result of which AWX still keeps all (its MAX_EVENT_RES_DATA)."""

LARGEST_ARTIFACTS = 64_000
"""Bytes of a job's artifacts that Kijun allows itself: AWX keeps them in one row and hands them to each later node of a
workflow as variables."""


class Place(StrEnum):
    """Where AWX runs a job."""

    POD = "pod"
    """A container group: the worker itself is in the container, as an arbitrary user without a home."""
    NODE = "node"
    """An execution node: the worker starts a container for the playbook (process isolation), in which it is root."""
    HERE = "here"
    """Without isolation, by the programs of this checkout; to compare with."""


@dataclass(frozen=True)
class Credentials:
    """What a job's credentials bring into it.

    Attributes:
        user: the machine credential's, with which hosts are logged in to.
        ssh_key: its private key, which ssh-agent holds.
        become_password: its privilege escalation password.
        vault_password: the vault credential's.
        environment: what custom credential types put into the environment; ``{NAME}`` is the path of a file.
        files: name -> content: files that custom credential types inject.
        variables: extra variables that they set.
    """

    user: str = ""
    ssh_key: str = ""
    become_password: str = ""
    vault_password: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What AWX knows of a job that ended.

    Attributes:
        rc: ansible-playbook's exit status; 254 when it was cancelled or timed out; None when nothing was said of it.
        status: ``successful``, ``failed``, ``timeout``, ``canceled`` or ``error``.
        stdout: what was printed, without colours.
        artifacts: what `set_stats` gave, as AWX hands it to the next node of a workflow.
        events: the job's events, in their order.
        facts: the fact cache, by host.
        seconds: how long it took.
        stderr: what the worker said beside its stream; empty as a rule.
        left: files of the job's private data directory that are still on the execution node; a pod is gone as a whole.
    """

    rc: int | None
    status: str
    stdout: str
    artifacts: dict[str, Any]
    events: list[dict[str, Any]]
    facts: dict[str, Any]
    seconds: float
    stderr: str
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was successful."""
        return self.status == "successful"

    @property
    def words(self) -> str:
        """What was printed, in one line: messages are broken into lines wherever there is a space."""
        return " ".join(self.stdout.split())


def run_job(
    playbook: str,
    answers: Mapping[str, Any],
    *,
    inventory: Mapping[str, Any],
    limit: str = "",
    credentials: Credentials | None = None,
    isolation: bool | Place = True,
    variables: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    job_slice: tuple[int, int] = (1, 1),
    forks: int = 0,
    tags: str = "",
    check: bool = False,
    job_timeout: int = 0,
    idle_timeout: int = 0,
    cancel: Callable[[], bool] | None = None,
    cancel_at: str = "",
    kill: bool = False,
    project_folder: Path | None = None,
    revision_told: str = "",
    user: str = "awx-operator",
    volumes: Sequence[tuple[Path, str]] = (),
    timeout: int = 600,
) -> Result:
    """Run a playbook as a job of AWX and wait for its end.

    Args:
        playbook: its path in the project, as ``playbooks/audit.yml``.
        answers: of the survey. Whatever text is in them stays text.
        inventory: in the form of an inventory script's ``--list``; see `lab_inventory`.
        limit: the job's limit.
        credentials: of the job.
        isolation: True is a pod, False is none; or a `Place`.
        variables: the job template's own extra variables, in which Jinja is Jinja; answers win over them.
        environment: further variables, as AWX's setting of extra environment variables gives them.
        job_slice: number and count, as job slicing gives them.
        forks: how many hosts at a time; 0 is what ansible.cfg says.
        tags: job tags.
        check: the job type *Check*.
        job_timeout: seconds after which AWX ends the job; 0 is never.
        idle_timeout: seconds without output after which it does so; 0 is never.
        cancel: asked again and again; True cancels the job.
        cancel_at: the name of a task; the job is cancelled as soon as it begins.
        kill: cancelled is killed at once, as a pod whose node is lost or whose grace is over; not on a node.
        project_folder: a project that is sent with the job, as AWX does it; without it the tree is mounted, which is
            the same and faster.
        revision_told: the project's revision as AWX tells it; the tree's own when empty.
        user: who started it.
        volumes: folders of this machine and where they are in the container (not without isolation); writable.
        timeout: seconds after which the test itself gives up.

    Returns:
        What AWX would know of it.

    Raises:
        TimeoutError: the job did not end, cancelled as it may be, within `timeout`.
    """
    place = isolation if isinstance(isolation, Place) else (Place.POD if isolation else Place.HERE)
    number = str(secrets.randbelow(900_000) + 100_000)
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix=f"awx_{number}_", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        data, worker, processed = folder / "sent", folder / "runner", folder / "processed"
        for path in (data, worker, processed):
            path.mkdir()
        home = worker if place is Place.HERE else Path(RUNNER)
        told = revision_told or revision()
        job = _Job(number, playbook, place, credentials or Credentials(), home, tuple(volumes), project_folder, told)
        _write_private_data(job, data, sliced(inventory, *job_slice), job_slice, answers, variables or {}, user)
        _write_settings(job, data, environment or {}, limit, forks, tags, check, job_timeout, idle_timeout)
        started = time.monotonic()
        stream = folder / "stream"
        with stream.open("wb") as output:
            ansible_runner.interface.run(
                streamer="transmit", _output=output, private_data_dir=str(data), **_parameters(job)
            )
        said, errors = folder / "said", folder / "errors"
        with stream.open("rb") as given, said.open("wb") as output, errors.open("wb") as other:
            wanted = (lambda: _has_begun(said, cancel_at)) if cancel_at else cancel
            _work(job, worker, given, output, other, wanted, kill, timeout)
        seconds = time.monotonic() - started
        left = tuple(str(path.relative_to(worker)) for path in worker.rglob("*") if not path.is_dir())
        return _process(job, said, processed, seconds, errors.read_text("utf-8", "replace"), left)


@dataclass(frozen=True)
class _Job:
    number: str
    playbook: str
    place: Place
    credentials: Credentials
    home: Path
    volumes: tuple[tuple[Path, str], ...]
    project_folder: Path | None
    revision: str

    @property
    def container(self) -> str:
        """The name of its container, by which ansible-runner, too, calls it."""
        return f"ansible_runner_{self.number}"


# ---- the private data directory ----


class _UnsafeDumper(yaml.SafeDumper):
    """Marks every text as one that must not be templated."""

    def represent_data(self, data: Any) -> Any:
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        return super().represent_data(data)


def extra_variables(given: Mapping[str, Any], trusted: Mapping[str, Any]) -> str:
    """The file `env/extravars`.

    Args:
        given: all extra variables.
        trusted: those of the job template itself: what is the same in both may be templated, all else is `!unsafe`.
    """
    return "".join(
        yaml.dump(
            {name: value},
            Dumper=yaml.SafeDumper if name in trusted and trusted[name] == value else _UnsafeDumper,
            default_flow_style=False,
            allow_unicode=True,
        )
        for name, value in given.items()
    )


def _write_private_data(
    job: _Job,
    data: Path,
    inventory: Mapping[str, Any],
    job_slice: tuple[int, int],
    answers: Mapping[str, Any],
    trusted: Mapping[str, Any],
    user: str,
) -> None:
    """Project, inventory, extra variables, passwords and files of credentials."""
    for name in ("project", "inventory", "env"):
        (data / name).mkdir()
    if job.place is Place.HERE:
        (data / "project").rmdir()
        (data / "project").symlink_to(job.project_folder or project())
    elif job.project_folder:
        # As its make_local_copy does: each job has a copy of its own, without what git knows.
        (data / "project").rmdir()
        shutil.copytree(job.project_folder, data / "project", ignore=shutil.ignore_patterns(".git"), symlinks=True)
    _write(
        data / "inventory" / "hosts",
        f"#! /usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint({json.dumps(inventory)!r})\n",
        0o700,
    )
    known: dict[str, Any] = {"job_id": int(job.number), "user_name": user, "user_id": 7, "job_launch_type": "manual"}
    known |= {"project_revision": job.revision, "project_scm_branch": "v0.6.0"}
    if job_slice[1] > 1:
        known |= {"job_slice_number": job_slice[0], "job_slice_count": job_slice[1]}
    awx = {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in known.items()}
    given = {**awx, **trusted, **job.credentials.variables, **answers}
    _write(data / "env" / "extravars", extra_variables(given, trusted), 0o400)
    if job.credentials.ssh_key:
        _write(data / "env" / "ssh_key", job.credentials.ssh_key)
    for name, content in job.credentials.files.items():
        _write(data / "env" / f"tmp{name}", content)


def _write_settings(
    job: _Job,
    data: Path,
    environment: Mapping[str, str],
    limit: str,
    forks: int,
    tags: str,
    check: bool,
    job_timeout: int,
    idle_timeout: int,
) -> None:
    """What ansible-runner and the command line are given."""
    settings: dict[str, Any] = {"suppress_ansible_output": True, "suppress_output_file": True}
    if job_timeout:
        settings["job_timeout"] = job_timeout
    if idle_timeout:
        settings["idle_timeout"] = idle_timeout
    _write(data / "env" / "settings", json.dumps(settings))

    cline, passwords = list[str](), dict[str, str]()
    if job.credentials.user:
        cline += ["-u", job.credentials.user]
    if job.credentials.become_password:
        cline.append("--ask-become-pass")
        passwords[r"BECOME password.*:\s*?$"] = job.credentials.become_password
    if job.credentials.vault_password:
        cline += ["--ask-vault-pass"]
        passwords[r"Vault password:\s*?$"] = job.credentials.vault_password
    cline += [*(["--check"] if check else []), *(["-l", limit] if limit else []), *(["-t", tags] if tags else [])]
    cline += [f"--forks={forks}"] if forks else []
    _write(data / "env" / "cmdline", shlex.join(cline), 0o400)
    _write(data / "env" / "passwords", json.dumps(passwords))

    paths = {name: str(job.home / "env" / f"tmp{name}") for name in job.credentials.files}
    injected = {name: value.format_map(paths) for name, value in job.credentials.environment.items()}
    home = str(job.home)
    given = {
        "ANSIBLE_FORCE_COLOR": "True",
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{home}/cp",
        # ansible.cfg's own comes behind that of what AWX would have fetched, which here is nothing.
        "ANSIBLE_COLLECTIONS_PATH": f"{home}/requirements_collections:collections:/usr/share/ansible/collections",
        "AWX_PRIVATE_DATA_DIR": home,
        "JOB_ID": job.number,
        "INVENTORY_ID": "1",
        "PROJECT_REVISION": job.revision,
        **environment,
        **injected,
    }
    if job.place is Place.HERE:
        given["PATH"] = f"{BIN}:{os.environ['PATH']}"
    _write(data / "env" / "envvars", json.dumps(given))


def _write(path: Path, content: str, mode: int = 0o600) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)


def _parameters(job: _Job) -> dict[str, Any]:
    """What AWX tells ansible-runner beside the folder."""
    parameters: dict[str, Any] = {"ident": job.number, "playbook": job.playbook}
    if job.place is Place.NODE:
        parameters |= {
            "process_isolation": True,
            "process_isolation_executable": "podman",
            "container_image": image(),
            "container_options": ["--user=root", f"--network={network()}"],
            "container_volume_mounts": _mounts(job),
        }
    return parameters


def _mounts(job: _Job) -> list[str]:
    """What is mounted: the project, which nobody may write to, and what the test asked for."""
    mounted = [] if job.project_folder else [f"{project()}:{RUNNER}/project:ro"]
    return [*mounted, *(f"{here}:{there}" for here, there in job.volumes)]


def project() -> Path:
    """A copy of the tree as git has it, or would have it: what AWX gives a job, which is without what git knows."""
    return _updated()[0]


def revision() -> str:
    """The project's revision."""
    return _updated()[1]


@functools.cache
def _updated() -> tuple[Path, str]:
    folder = Path(tempfile.mkdtemp(prefix="kijun-project-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy_of_checkout(folder)
    git = ("git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.com")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "the tree")):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    shutil.rmtree(folder / ".git")
    # Whoever runs the job reads it.
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", folder], check=True)
    return folder, head


def copy_of_checkout(target: Path) -> None:
    """Copy what is, or would be, committed, links as links: what a git checkout of it holds.

    Args:
        target: the folder that it is copied to.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


# ---- the worker ----


def _has_begun(said: Path, task: str) -> bool:
    """Whether a task has begun, as the worker's stream tells it."""
    wanted = (b'"event": "playbook_on_task_start"', b'"task": ' + json.dumps(task).encode())
    return any(all(word in line for word in wanted) for line in said.read_bytes().splitlines())


def _work(
    job: _Job,
    worker: Path,
    given: Any,
    said: Any,
    errors: Any,
    cancel: Callable[[], bool] | None,
    kill: bool,
    timeout: int,
) -> None:
    """Have the worker do the job; cancel it when the time has come."""
    if job.place is Place.POD:
        line = [
            *("podman", "run", "--rm", "--interactive", "--quiet", "--name", job.container),
            # No entry of the user's in /etc/passwd, and no home: what there is is the image's own doing.
            *(f"--user={ARBITRARY_USER}:0", "--passwd=false", "--env=HOME=", f"--network={network()}"),
            *(word for mount in _mounts(job) for word in ("--volume", mount)),
            *(image(), "ansible-runner", "worker", f"--private-data-dir={RUNNER}"),
        ]
    else:
        line = [str(BIN / "ansible-runner"), "worker", "--private-data-dir", str(worker)]
        # On an execution node nothing of a job is left; AWX asks for it so.
        line += ["--delete"] if job.place is Place.NODE else []
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("ANSIBLE_", "KIJUN_"))}
    # With --delete the worker makes its folder anew before it begins, too.
    folder = worker.parent if job.place is Place.NODE else worker
    process = subprocess.Popen(
        line, stdin=given, stdout=said, stderr=errors, env=environment, cwd=folder, start_new_session=True
    )
    ended = time.monotonic() + timeout
    cancelled = False
    try:
        while process.poll() is None:
            if not cancelled and cancel is not None and cancel():
                cancelled = True
                _stop(job, process, kill)
            if time.monotonic() > ended:
                raise TimeoutError(f"the job did not end within {timeout} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1 if cancel else 0.5)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if job.place is not Place.HERE:
            podman("rm", "--force", "--time", "0", "--ignore", job.container, check=False)


def _stop(job: _Job, process: subprocess.Popen[bytes], kill: bool) -> None:
    """Cancel as AWX does: the pod is deleted, or the worker is terminated; who does not end by that is killed."""
    if job.place is Place.POD and kill:
        podman("kill", "--signal", "KILL", job.container)
    elif job.place is Place.POD:
        threading.Thread(target=podman, args=("stop", "--time", "30", job.container), kwargs={"check": False}).start()
    else:
        process.terminate()


# ---- what comes back ----


def _process(job: _Job, said: Path, folder: Path, seconds: float, errors: str, left: tuple[str, ...]) -> Result:
    """Read the worker's stream as AWX does."""
    explained = []

    def told(status: dict[str, Any], runner_config: Any) -> None:
        explained.extend(str(status[name]) for name in ("job_explanation", "result_traceback") if status.get(name))

    with said.open("rb") as stream:
        runner = ansible_runner.interface.run(
            streamer="process",
            _input=stream,
            private_data_dir=str(folder),
            ident=job.number,
            quiet=True,
            status_handler=told,
        )
    artifacts = folder / "artifacts" / job.number
    events = [json.loads(file.read_text("utf-8")) for file in (artifacts / "job_events").glob("[0-9]*.json")]
    events.sort(key=lambda event: event["counter"])
    stats = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
    lines = [event["stdout"] for event in events if event.get("stdout")]
    facts = {file.name: json.loads(file.read_text("utf-8")) for file in (artifacts / "fact_cache").glob("*")}
    rc = (artifacts / "rc").read_text("utf-8").strip() if (artifacts / "rc").exists() else ""
    return Result(
        rc=int(rc) if rc.lstrip("-").isdigit() else None,
        # A worker that was killed says nothing more; AWX calls that an error.
        status="error" if runner.status in ("unstarted", "starting", "running") else runner.status,
        stdout=re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([*lines, *explained])),
        artifacts=stats[-1].get("artifact_data", {}) if stats else {},
        events=events,
        facts=facts,
        seconds=seconds,
        stderr=errors,
        left=left,
    )


# ---- the lab ----


@functools.cache
def image() -> str:
    """The execution environment's image; built when it does not exist."""
    return execution_environment.ensure()


def network() -> str:
    """The name of the lab's network, which is all that a job's container reaches."""
    number = description.instance_number()
    label = f"label={hosts.INSTANCE_LABEL}={number}"
    found = podman("network", "ls", "--filter", label, "--format", "{{.Name}}").stdout.split()
    assert found, f"no host of lab {number} is up"
    return found[0]


@functools.cache
def lab_inventory(*more: str) -> dict[str, Any]:
    """The lab's inventory as AWX has it after it was imported, without what is a matter of credentials.

    Args:
        more: further inventories, by their paths in the checkout.
    """
    sources = [word for source in ("inventories/lab", *more) for word in ("-i", source)]
    lines = [str(BIN / "ansible-inventory"), *sources, "--list", "--export"]
    environment = {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    done = subprocess.run(lines, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    lab = description.read(description.instance_number())
    found["all"].setdefault("vars", {})["kijun_lab_network"] = f"{lab.prefix}.{lab.instance}"
    of_lab = found["lab"]["vars"]
    for name in ("ansible_user", "ansible_ssh_private_key_file", "kijun_lab_state"):
        of_lab.pop(name)
    of_lab["ansible_ssh_common_args"] = (
        "-o StrictHostKeyChecking=yes -o UserKnownHostsFile={{ lookup('ansible.builtin.env', 'KIJUN_KNOWN_HOSTS') }}"
    )
    if identity.UPSTREAM_CERTIFICATE.exists():
        of_lab["time_sync_nts_authority"] = identity.UPSTREAM_CERTIFICATE.read_text("ascii").rstrip("\n")
    return found


def lab_credentials(**more: Any) -> Credentials:
    """The machine credential of the lab's hosts, and a credential that brings their keys.

    Args:
        more: further fields of `Credentials`; ``environment`` and ``files`` are added to those that it has.
    """
    environment = {"KIJUN_KNOWN_HOSTS": "{known_hosts}", "KIJUN_JOURNAL": "no", **more.pop("environment", {})}
    files = {"known_hosts": identity.KNOWN_HOSTS.read_text("ascii"), **more.pop("files", {})}
    key = identity.USER_KEY.read_text("ascii")
    return Credentials(**{"user": "admin", "ssh_key": key, "environment": environment, "files": files, **more})


def injected(credential_type: str, inputs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What a credential type of awx/configuration brings into a job, filled in as AWX does it.

    Args:
        credential_type: its name.
        inputs: what was typed into its fields.

    Returns:
        ``environment`` and ``files``, for `lab_credentials`.
    """
    configuration = DataLoader().load_from_file(str(ROOT / "awx" / "configuration" / "base.yml"))
    (found,) = [one for one in configuration["controller_credential_types"] if one["name"] == credential_type]
    injectors = found["injectors"]
    names = [name.removeprefix("template.") for name in injectors.get("file", {})]
    known = {**inputs, "tower": {"filename": {name: f"{{{name}}}" for name in names}}}

    def filled(text: str) -> str:
        return ImmutableSandboxedEnvironment().from_string(str(text)).render(known)

    return {
        "environment": {str(name): filled(text) for name, text in injectors.get("env", {}).items()},
        "files": {name: filled(text) for name, text in zip(names, injectors.get("file", {}).values(), strict=True)},
    }


def sliced(inventory: Mapping[str, Any], number: int, count: int) -> dict[str, Any]:
    """What AWX gives one slice of a job: every so manieth host, in the order of their names, in all their groups.

    Args:
        inventory: the whole.
        number: of the slice, from 1.
        count: how many slices there are.
    """
    found: dict[str, Any] = copy.deepcopy(dict(inventory))
    if count == 1:
        return found
    kept = set(sorted(found["_meta"]["hostvars"])[number - 1 :: count])
    found["_meta"]["hostvars"] = {name: value for name, value in found["_meta"]["hostvars"].items() if name in kept}
    for name, group in found.items():
        if name != "_meta" and "hosts" in group:
            group["hosts"] = [host for host in group["hosts"] if host in kept]
    return found


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that a job's user can write to, whoever that is; for a ledger in a file."""
    with tempfile.TemporaryDirectory(prefix="kijun-shared-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o2777)
        yield Path(name)
