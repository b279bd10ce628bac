#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.kept_files, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kept_files
short_description: Say which files on the controller are to outlive it
version_added: "0.6.0"
description:
  - Names files that a playbook left on the controller, such as those that it fetched from hosts. The callback
    P(kijun.baseline.evidence#callback) copies them to the report store at the end of the run, where
    E(KIJUN_REPORT_STORE) names one.
  - Kijun's own modules that write reports name theirs themselves.
options:
  files:
    description: Paths on the controller.
    type: list
    elements: path
    required: true
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Fetch the log of an installation
  ansible.builtin.fetch:
    src: /var/log/installer/syslog
    dest: reports/installations/{{ inventory_hostname }}.log
    flat: true
  register: fetched

- name: Have it outlive the controller
  kijun.baseline.kept_files:
    files: ["{{ fetched.dest }}"]
"""

RETURN = r"""
files:
  description: The files' absolute paths.
  returned: success
  type: list
  elements: path
  sample: [/var/lib/kijun/reports/installations/app1.log]
"""
