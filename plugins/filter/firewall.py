# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and openings of the packet filter, in the one form that the role writes and the audit reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..module_utils.facts.nftables import places


def networks(values: list[str], version: int = 0) -> list[str]:
    """Networks in their shortest form, without overlaps.

    Args:
        values: networks or addresses.
        version: 4 or 6 for those alone; 0 for both.

    Returns:
        The networks; none for none.
    """
    found = places(list(values)) if values else []
    return [place for place in found if not version or (":" in place) == (version == 6)]


def openings(services: list[dict[str, Any]], towards: str = "sources") -> list[str]:
    """What services open, as the fact ``nftables.accepted`` says it.

    Args:
        services: name, protocol, ports, and sources or destinations.
        towards: ``sources`` or ``destinations``.
    """
    word = "from" if towards == "sources" else "to"
    return sorted(
        {
            "%s/%s %s %s" % (service["protocol"], port, word, place)
            for service in services
            for port in service["ports"]
            for place in places(service.get(towards) or [])
        }
    )


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> filter."""
        return {"networks": networks, "openings": openings}
