#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.asset_state, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: asset_state
short_description: Look what a machine is made of, and what is on it
version_added: "0.6.0"
description:
  - Reads hardware (maker and product, serials, processors, memory, disks that are built in, addresses of network
    cards), the packages that somebody chose, and files that can be executed in trees where packages put none. It runs
    at low priority, and writes nothing.
  - A container has no hardware of its own; none is told.
  - M(kijun.baseline.assets_reconcile) works with what it says.
options:
  trees:
    description: Absolute paths that are looked through for programs; neither links nor other file systems are followed.
    type: list
    elements: str
    default: []
  seconds:
    description: How long that may take; trees that were not finished by then are told.
    type: float
    default: 20
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look what machines are made of
  kijun.baseline.asset_state:
    trees: [/home, /opt, /srv, /usr/local]
  register: asset_state
"""

RETURN = r"""
state:
  description: What was seen.
  returned: success
  type: dict
  sample:
    hardware: {product: Example Server 5, serial: SN0042, processors: 4 x Example CPU, memory_mb: "8192"}
    chosen: [nginx]
    programs: {paths: [/opt/tool/bin/tool], count: 1, files: 210, unfinished: []}
"""
