# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of one instance: made, started, made fresh, and removed."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import socket
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import identity
from .description import CHECKOUT, STATE, Host, Lab, lock_name
from .errors import LabError
from .images import Recipe
from .podman import cgroup_v1, podman, podman_change

# What of a real host's powers the lab's hosts need: firewall, mounts, PAM's audit records, priorities, and a virus
# scanner that reads everything. Never --privileged.
CAPABILITIES = "NET_ADMIN,SYS_ADMIN,AUDIT_WRITE,SYS_NICE,DAC_READ_SEARCH"
# systemd of Debian 13 starts on cgroup v1 only when told so; older and newer ones ignore the words.
CGROUP_V1_WORDS = ("SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0")
INSTANCE_LABEL = "kijun.lab.instance"
CHECKOUT_LABEL = "kijun.lab.checkout"
# A file a host, holding the id of its container: written when the host was ready for the first time.
READY = STATE / "ready"
START_TIMEOUT = 60.0
ADMIN_UID = 1000


@dataclass(frozen=True)
class Container:
    """What podman knows of a container.

    Attributes:
        id: the full container id.
        name: the container's name.
        state: ``running``, ``exited``, ``created``, ...
        image: the tag it was made from.
        instance: the lab instance it belongs to.
        checkout: the checkout whose lab made it.
    """

    id: str
    name: str
    state: str
    image: str
    instance: str
    checkout: str


def containers(instance: int | None = None) -> dict[str, Container]:
    """The lab's containers on this machine.

    Args:
        instance: of this instance only.

    Returns:
        By container name.
    """
    label = INSTANCE_LABEL if instance is None else f"{INSTANCE_LABEL}={instance}"
    listed = json.loads(podman("ps", "--all", "--filter", f"label={label}", "--format", "json").stdout)
    found = [
        Container(
            item["Id"],
            item["Names"][0],
            item["State"],
            item["Image"],
            item["Labels"][INSTANCE_LABEL],
            item["Labels"][CHECKOUT_LABEL],
        )
        for item in listed
    ]
    return {container.name: container for container in found}


def up(lab: Lab, hosts: list[Host], images: dict[str, Recipe]) -> None:
    """Bring hosts up; what is up stays as it is, and what a killed run left half-made is made anew.

    Args:
        lab: the instance.
        hosts: which of its hosts.
        images: the recipes of all images, which exist.

    Raises:
        LabError: the instance belongs to another checkout, or a host does not come up.
    """
    existing = containers(lab.instance)
    _refuse_foreign(lab, existing)
    network = _ensure_network(lab)

    def bring_up(host: Host) -> str:
        container = existing.get(host.container)
        if container is None or not _was_ready(container) or container.state not in ("running", "exited"):
            return _make(lab, network, host, images[host.image])
        if container.state == "exited":
            podman_change(lab.lock, "start", host.container)
        _wait(host)
        if container.image != images[host.image].tag:
            return f"is up, from an older image (`lab/lab reset {host.name}` renews it)"
        return "is up" if container.state == "running" else "is up again"

    _for_each(hosts, bring_up)


def reset(lab: Lab, hosts: list[Host], images: dict[str, Recipe]) -> None:
    """Make hosts fresh: as they were when made, with nothing of what happened to them since.

    Args:
        lab: the instance.
        hosts: which of its hosts.
        images: the recipes of all images, which exist.

    Raises:
        LabError: the instance belongs to another checkout, or a host does not come up.
    """
    _refuse_foreign(lab, containers(lab.instance))
    network = _ensure_network(lab)
    _for_each(hosts, lambda host: _make(lab, network, host, images[host.image]))


def reboot(lab: Lab, hosts: list[Host]) -> None:
    """Shut hosts down in order and start them again; their disks keep what is on them.

    Args:
        lab: the instance.
        hosts: which of its hosts.

    Raises:
        LabError: a host is not up, or does not come up again.
    """
    existing = containers(lab.instance)
    down = [host.name for host in hosts if host.container not in existing]
    if down:
        raise LabError(f"not up: {', '.join(down)} (`lab/lab up` brings them up)")

    def restart(host: Host) -> str:
        podman_change(lab.lock, "restart", "--time", "20", host.container)
        _wait(host)
        return "rebooted"

    _for_each(hosts, restart)


def remove(instance: int) -> None:
    """Remove the containers and the network of an instance, of whichever checkout; there may be none.

    Args:
        instance: 0 to 199.
    """
    name = lock_name(instance)
    found = containers(instance)
    if found:
        podman_change(name, "rm", "--force", "--time", "0", "--ignore", *found)
    for network in _networks(instance):
        podman_change(name, "network", "rm", "--force", network)
    for container in found:
        (READY / container).unlink(missing_ok=True)


def instances() -> list[int]:
    """The instances of which there is anything on this machine."""
    networks = json.loads(podman("network", "ls", "--filter", f"label={INSTANCE_LABEL}", "--format", "json").stdout)
    of_networks = [network["labels"][INSTANCE_LABEL] for network in networks]
    return sorted({int(text) for text in of_networks} | {int(item.instance) for item in containers().values()})


def _refuse_foreign(lab: Lab, existing: dict[str, Container]) -> None:
    """Leave alone what the lab of another checkout, which still exists, has made."""
    for container in existing.values():
        if container.checkout != str(CHECKOUT) and Path(container.checkout).exists():
            raise LabError(
                f"instance {lab.instance} is in use by the checkout {container.checkout}: choose another with "
                f"KIJUN_LAB, or remove it with `lab/lab down`"
            )


def _networks(instance: int) -> list[str]:
    label = f"label={INSTANCE_LABEL}={instance}"
    return podman("network", "ls", "--filter", label, "--format", "{{.Name}}").stdout.split()


def _ensure_network(lab: Lab) -> str:
    """The name of the instance's podman network, which is made when there is none."""
    existing = _networks(lab.instance)
    if existing:
        return existing[0]
    # A name never used before: podman keeps its list of taken addresses by name, even when the network is removed, and
    # if podman itself was killed that list may hold addresses of hosts that are gone.
    name = f"{lab.lock}-{secrets.token_hex(3)}"
    label = f"{INSTANCE_LABEL}={lab.instance}"
    podman_change(lab.lock, "network", "create", "--subnet", lab.subnet, "--label", label, name)
    return name


def _make(lab: Lab, network: str, host: Host, recipe: Recipe) -> str:
    """Make a host from its image, in place of whatever has its name, and wait until it is up."""
    (READY / host.container).unlink(missing_ok=True)
    podman_change(lab.lock, "rm", "--force", "--time", "0", "--ignore", host.container)
    # "always" lets a host reboot itself; podman alone decides when it stays down.
    container_id = podman_change(
        lab.lock, "create", "--name", host.container, "--hostname", host.name,
        "--network", network, "--ip", host.address, "--mac-address", host.mac, "--network-alias", host.name,
        "--label", f"{INSTANCE_LABEL}={lab.instance}", "--label", f"{CHECKOUT_LABEL}={CHECKOUT}",
        "--systemd=always", "--restart=always", "--cap-add", CAPABILITIES,
        recipe.tag, "/sbin/init", *(CGROUP_V1_WORDS if cgroup_v1() else ()),
    )  # fmt: skip
    podman_change(lab.lock, "cp", "--archive=false", "-", f"{host.container}:/", data=_own_files(host))
    podman_change(lab.lock, "start", host.container)
    _wait(host)
    READY.mkdir(exist_ok=True)
    (READY / host.container).write_text(container_id, encoding="ascii")
    return "is fresh"


def _own_files(host: Host) -> bytes:
    """What tells a host from every other one made from its image: a tar archive of its keys."""
    key = identity.HOST_KEYS / host.name
    files: list[tuple[str, Path, int, int]] = [
        ("etc/ssh/ssh_host_ed25519_key", key, 0o600, 0),
        ("etc/ssh/ssh_host_ed25519_key.pub", identity.public_file(key), 0o644, 0),
        ("home/admin/.ssh/authorized_keys", identity.public_file(identity.USER_KEY), 0o600, ADMIN_UID),
    ]
    if host.name == identity.UPSTREAM_NAME:
        files.append(("etc/chrony/upstream.crt", identity.UPSTREAM_CERTIFICATE, 0o644, 0))
        files.append(("etc/chrony/upstream.key", identity.UPSTREAM_KEY, 0o640, 0))

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo("home/admin/.ssh")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o700, ADMIN_UID, ADMIN_UID
        tar.addfile(folder)
        for name, source, mode, owner in files:
            content = source.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, int(time.time())
            entry.uid = entry.gid = owner
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _was_ready(container: Container) -> bool:
    mark = READY / container.name
    return mark.exists() and mark.read_text(encoding="ascii") == container.id


def _wait(host: Host) -> None:
    """Wait until a host's boot is finished and its sshd answers.

    Raises:
        LabError: it took longer than a minute.
    """
    deadline = time.monotonic() + START_TIMEOUT
    # "degraded" is up as well: it says that some unit failed, which may be what a test is about.
    while (state := _boot_state(host)) not in ("running", "degraded"):
        _check_deadline(host, deadline, f"systemd says {state or 'nothing'!r}")
        time.sleep(0.1)
    # Asked last: every connection without a login is one that sshd remembers against the caller.
    while not _ssh_answers(host.address):
        _check_deadline(host, deadline, "its sshd does not answer")
        time.sleep(0.2)


def _boot_state(host: Host) -> str:
    """What systemd says of its boot; an empty text while it cannot be asked yet.

    Asked again and again, without ``--wait``: that waits for a signal, and for ever when the boot ended just before.
    """
    return podman("exec", host.container, "systemctl", "is-system-running", check=False).stdout.strip()


def _check_deadline(host: Host, deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise LabError(
            f"{host.name} did not come up within {START_TIMEOUT:.0f} s: {why}. Look: `lab/lab shell {host.name}`; "
            f"start again: `lab/lab reset {host.name}`"
        )


def _ssh_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _for_each(hosts: list[Host], action: Callable[[Host], str]) -> None:
    """Do something to several hosts at once; tell the outcome and time of each as it comes.

    Raises:
        LabError: it failed for some hosts; the others are done.
    """

    def timed(host: Host) -> str | None:
        started = time.monotonic()
        try:
            outcome = action(host)
        except LabError as error:
            return f"{host.name}: {error}"
        print(f"{host.name:<10} {host.address:<15} {outcome} ({time.monotonic() - started:.1f} s)", flush=True)
        return None

    with ThreadPoolExecutor(max_workers=len(hosts) or 1) as pool:
        failures = [failure for failure in pool.map(timed, hosts) if failure]
    if failures:
        raise LabError("\n".join(failures))


def forget() -> None:
    """Forget which hosts were ready; for when every instance is removed."""
    shutil.rmtree(READY, ignore_errors=True)
