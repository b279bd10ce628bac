# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import description, execution_environment, hosts, identity, images, vm, vm_description
from .description import CHECKOUT, Host, Lab, lock_name
from .errors import LabError
from .podman import ENVIRONMENT, lock, require_machine

UNAVAILABLE = 3
"""Exit status when this machine cannot run virtual machines."""


def main(arguments: list[str]) -> int:
    """Run one command of the lab.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit status: 0 done, 1 failed (standard error says why), 2 wrong usage, 3 no virtual machines here.
    """
    options = _parser().parse_args(arguments)
    try:
        lab = description.read(description.instance_number())
        require_machine()
        options.command(lab, options)
    except vm.Unavailable as error:
        print(f"lab: {error}", file=sys.stderr)
        return UNAVAILABLE
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the same command again goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab/lab",
        description="Real hosts to try Kijun on: podman containers with systemd and sshd, Debian 12 and 13; and, where "
        "they are named, virtual machines with a kernel of their own (vm12, vm13).",
        epilog="The environment variable KIJUN_LAB (0 to 199, default 0) chooses one of several labs side by side.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="build the images that do not exist yet")
    command.add_argument("--fresh", action="store_true", help="build all of them anew, with the packages of today")
    command.set_defaults(command=_build)

    command = commands.add_parser(
        "execution-environment", help="build the execution environment of awx/ if there is none yet; print its image"
    )
    command.set_defaults(command=_execution_environment)

    command = commands.add_parser("up", help="bring hosts up (all by default), building images when needed")
    command.add_argument("hosts", nargs="*", metavar="HOST")
    command.set_defaults(command=_up)

    command = commands.add_parser("down", help="remove the hosts and their network")
    command.add_argument("--all", action="store_true", help="of every instance, and the images too")
    command.set_defaults(command=_down)

    command = commands.add_parser("reset", help="make hosts fresh again (all by default)")
    command.add_argument("hosts", nargs="*", metavar="HOST")
    command.set_defaults(command=_reset)

    command = commands.add_parser("reboot", help="reboot hosts (all by default); they keep their data")
    command.add_argument("hosts", nargs="*", metavar="HOST")
    command.set_defaults(command=_reboot)

    command = commands.add_parser("shell", help="a root shell on a host")
    command.add_argument("host", metavar="HOST")
    command.set_defaults(command=_shell)

    command = commands.add_parser("exec", help="run a command on a host as root")
    command.add_argument("host", metavar="HOST")
    command.add_argument("words", nargs="+", metavar="CMD", help="after `--`, the command and its arguments")
    command.set_defaults(command=_exec)

    command = commands.add_parser("status", help="a table of the hosts")
    command.set_defaults(command=_status)
    return parser


def _build(lab: Lab, options: argparse.Namespace) -> None:
    for recipe in images.ensure(lab, options.fresh).values():
        print(f"{recipe.image.name:<10} {recipe.tag}")


def _execution_environment(_lab: Lab, _options: argparse.Namespace) -> None:
    print(execution_environment.ensure())


def _up(lab: Lab, options: argparse.Namespace) -> None:
    started = time.monotonic()
    chosen, machines, virtual = _chosen(lab, options.hosts)
    identity.ensure(lab)
    with lock(lab.lock):
        if chosen:
            hosts.up(lab, chosen, images.ensure(lab))
        vm.up(lab, machines, virtual)
    print(f"{len(chosen) + len(virtual)} hosts up in {time.monotonic() - started:.1f} s")


def _reset(lab: Lab, options: argparse.Namespace) -> None:
    started = time.monotonic()
    chosen, machines, virtual = _chosen(lab, options.hosts)
    identity.ensure(lab)
    with lock(lab.lock):
        if chosen:
            hosts.reset(lab, chosen, images.ensure(lab))
        vm.reset(lab, machines, virtual)
    print(f"{len(chosen) + len(virtual)} hosts fresh in {time.monotonic() - started:.1f} s")


def _reboot(lab: Lab, options: argparse.Namespace) -> None:
    chosen, machines, virtual = _chosen(lab, options.hosts)
    with lock(lab.lock):
        if chosen:
            hosts.reboot(lab, chosen)
        vm.reboot(machines, virtual)


def _down(lab: Lab, options: argparse.Namespace) -> None:
    for instance in hosts.instances() if options.all else [lab.instance]:
        with lock(lock_name(instance)):
            hosts.remove(instance)
            vm.remove(instance)
    if options.all:
        vm.remove_all()
        hosts.forget()
        images.remove_all()


def _shell(lab: Lab, options: argparse.Namespace) -> None:
    _enter(lab, options.host, ["bash", "--login"])


def _exec(lab: Lab, options: argparse.Namespace) -> None:
    _enter(lab, options.host, options.words)


def _enter(lab: Lab, name: str, words: list[str]) -> None:
    """Become a command that runs on a host; does not return."""
    machines = vm_description.read(lab.instance)
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    for virtual in vm.instances(machines, [name]):
        line = vm.enter(machines, virtual, words, is_terminal)
        os.execvp(line[0], line)
    (host,) = lab.chosen([name])
    container = hosts.containers(lab.instance).get(host.container)
    if container is None or container.state != "running":
        raise LabError(f"{name} is not up; `lab/lab up {name}` brings it up")
    terminal = ["--tty"] if is_terminal else []
    os.execvpe("podman", ["podman", "exec", "--interactive", *terminal, host.container, *words], ENVIRONMENT)


def _status(lab: Lab, _options: argparse.Namespace) -> None:
    machines = vm_description.read(lab.instance)
    existing = hosts.containers(lab.instance)
    current = images.recipes(lab)
    print(f"{'HOST':<10} {'ADDRESS':<15} {'IMAGE':<10} STATE")
    for host in lab.hosts.values():
        container = existing.get(host.container)
        state = "down" if container is None else container.state
        if container is not None and container.image != current[host.image].tag:
            state += ", from an older image"
        if container is not None and container.checkout != str(CHECKOUT):
            state += f", of {container.checkout}"
        print(f"{host.name:<10} {host.address:<15} {host.image:<10} {state}")
    for virtual in vm.instances(machines, list(machines.machines)):
        machine = virtual.machine
        print(f"{machine.name:<10} {machine.address:<15} {machine.suite:<10} {vm.state(virtual)}")


def _chosen(lab: Lab, names: list[str]) -> tuple[list[Host], vm_description.Machines, list[vm.Instance]]:
    """The hosts of these names: containers, and virtual machines, which are chosen by name alone."""
    machines = vm_description.read(lab.instance)
    virtual = vm.instances(machines, names)
    if virtual:
        vm.require_machine()
    others = [name for name in names if name not in machines.machines]
    return lab.chosen(others) if others or not names else [], machines, virtual
