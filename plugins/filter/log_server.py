# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log server's proxy and its receiver both have to say in the same words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def sender_addresses(names: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The loopback address that stands for each sender: three bytes of its name's SHA-256.

    Args:
        names: the senders' names, as in their certificates.
        given: addresses of those that are not to have the one that follows from their name.

    Returns:
        Name -> address in 127.0.0.0/8, in alphabetical order.

    Raises:
        AnsibleFilterError: two names have one address; says which.
    """
    taken: dict[str, str] = {}
    for name in sorted(set(names)):
        digest = hashlib.sha256(name.encode()).digest()
        address = (given or {}).get(name) or "127.%d.%d.%d" % (1 + digest[0] % 254, digest[1], 1 + digest[2] % 254)
        if address in taken:
            raise AnsibleFilterError(
                "%s and %s come to the same address, %s; give one of them another one of 127.0.0.0/8 in"
                " log_server_sender_addresses" % (taken[address], name, address)
            )
        taken[address] = name
    return {name: address for address, name in taken.items()}


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> filter."""
        return {"sender_addresses": sender_addresses}
