# SPDX-License-Identifier: GPL-3.0-or-later
"""What a USB device says of itself.

Runs on hosts: Python 3.9 and its standard library.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple


class Descriptor(NamedTuple):
    """A USB device's descriptor; empty where there is none.

    Attributes:
        vendor_id, product_id: four hexadecimal digits each.
        serial: whatever it says.
    """

    vendor_id: str = ""
    product_id: str = ""
    serial: str = ""


def usb_descriptor(device: str, root: str = "/") -> Descriptor:
    """The descriptor of the USB device that a disk or a partition is part of.

    Args:
        device: its path or its name in the kernel, such as /dev/sdb or sdb1.
        root: below which /sys is.
    """
    folder = os.path.realpath(os.path.join(root, "sys/class/block", os.path.basename(device)))
    while len(folder) > len(os.path.join(root, "sys")):
        if os.path.exists(os.path.join(folder, "idVendor")):
            return Descriptor(*(_line(os.path.join(folder, name)) for name in ("idVendor", "idProduct", "serial")))
        folder = os.path.dirname(folder)
    return Descriptor()


def _line(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read().rstrip("\n")
    return ""
