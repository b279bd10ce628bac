# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab consists of: lab/lab.yml read and checked, and the names and addresses that follow from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]
LAB_FOLDER = CHECKOUT / "lab"
DESCRIPTION_FILE = LAB_FOLDER / "lab.yml"
STATE = CHECKOUT / ".lab"
CACHE = CHECKOUT / ".cache" / "lab"
HIGHEST_INSTANCE = 199


@dataclass(frozen=True)
class Image:
    """An image that hosts start from: either bootstrapped from a Debian suite, or derived from another image."""

    name: str
    suite: str | None
    base: str | None


@dataclass(frozen=True)
class Host:
    """A host of one instance of the lab.

    Attributes:
        name: its host name, for example ``server12``.
        address: its IPv4 address, dotted.
        image: the name of its image.
        groups: the inventory groups it is in, beside ``lab``.
        container: the name of its podman container.
    """

    name: str
    address: str
    image: str
    groups: tuple[str, ...]
    container: str

    @property
    def mac(self) -> str:
        """Its Ethernet address, which follows from the IPv4 address.

        Were it another one each time the host is made, its neighbours would go on sending to the old one until their
        ARP entries expire: half a minute of silence.
        """
        return "02:00:" + ":".join(f"{int(number):02x}" for number in self.address.split("."))


@dataclass(frozen=True)
class Lab:
    """One instance of the lab.

    Attributes:
        instance: 0 to 199.
        prefix: the first two numbers of every address, for example ``10.213``.
        images: by name, a base before what is derived from it.
        packages: installed in every bootstrapped image, beside Debian's minimal base.
        hosts: by name, in the order of lab.yml.
    """

    instance: int
    prefix: str
    images: dict[str, Image]
    packages: tuple[str, ...]
    hosts: dict[str, Host]

    @property
    def lock(self) -> str:
        """The name of the lock that whoever changes the instance holds."""
        return lock_name(self.instance)

    @property
    def subnet(self) -> str:
        """The network's addresses, as ``10.213.0.0/24``."""
        return f"{self.prefix}.{self.instance}.0/24"

    def chosen(self, names: list[str]) -> list[Host]:
        """The hosts of these names; all hosts when no name is given.

        Args:
            names: host names as the user gave them.

        Returns:
            The hosts, in the order of lab.yml.

        Raises:
            LabError: a name is no host of the lab.
        """
        unknown = [name for name in names if name not in self.hosts]
        if unknown:
            raise LabError(f"no such host: {', '.join(unknown)} (the lab's hosts: {', '.join(self.hosts)})")
        return [host for host in self.hosts.values() if not names or host.name in names]


def lock_name(instance: int) -> str:
    """What an instance is called on the machine, as ``kijun-lab0``: its containers' names begin with it, too."""
    return f"kijun-lab{instance}"


def instance_number(environment: Mapping[str, str] = os.environ) -> int:
    """The instance that the environment variable KIJUN_LAB chooses.

    Args:
        environment: environment variables.

    Returns:
        0 to 199; 0 when the variable is unset or empty.

    Raises:
        LabError: the variable holds anything else.
    """
    text = environment.get("KIJUN_LAB") or "0"
    if not (text.isascii() and text.isdigit() and int(text) <= HIGHEST_INSTANCE):
        raise LabError(f"KIJUN_LAB={text!r}: allowed are the numbers 0 to {HIGHEST_INSTANCE}")
    return int(text)


def read(instance: int, path: Path = DESCRIPTION_FILE) -> Lab:
    """Read the lab's description for one instance.

    Args:
        instance: 0 to 199.
        path: the YAML file, of the form of lab/lab.yml.

    Returns:
        The lab.

    Raises:
        LabError: two hosts share an address, or a host or image names an image that is not described before it.
    """
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    images: dict[str, Image] = {}
    for name, image in data["images"].items():
        base = image.get("base")
        if base is not None and base not in images:
            raise LabError(f"{path}: image {name}: base {base!r} is not described before it")
        images[name] = Image(name, image.get("suite"), base)

    hosts: dict[str, Host] = {}
    octets: dict[int, str] = {}
    for name, host in data["hosts"].items():
        if host["image"] not in images:
            raise LabError(f"{path}: host {name}: no image {host['image']!r}")
        # .1 is the network's gateway and its DNS server.
        if not 2 <= host["octet"] <= 254 or host["octet"] in octets:
            raise LabError(f"{path}: host {name}: octet {host['octet']} is taken or not within 2 to 254")
        octets[host["octet"]] = name
        hosts[name] = Host(
            name=name,
            address=f"{data['network_prefix']}.{instance}.{host['octet']}",
            image=host["image"],
            groups=tuple(host["groups"]),
            container=f"{lock_name(instance)}-{name}",
        )
    return Lab(instance, data["network_prefix"], images, tuple(data["packages"]), hosts)
