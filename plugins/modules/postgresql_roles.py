#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.postgresql_roles, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_roles
short_description: Give a database of PostgreSQL its roles, with exactly the rights that they need
version_added: "0.1.0"
description:
  - Makes roles that log in, a database that one of them owns, and takes away every right on that database and its
    schema C(public) that is not asked for, from C(PUBLIC) above all. The owner may do everything in the database, and
    the other roles may connect to it; tables are granted by whoever makes them.
  - Nobody but PostgreSQL's superusers may connect to the databases C(postgres) and C(template1) afterwards.
  - Passwords stay on the controller. It reads the salt that the host checks a password with (SCRAM-SHA-256, RFC 5802
    and 7677), and a keyed hash of the rest. Where these do not fit the password, it sends what it is to be checked by,
    with a new random salt. None of this is in a result, a diff, a log or an argument.
  - Reads everything in one call, and makes all changes in a second one. Needs no Python library on either side.
options:
  version:
    description: Major version of PostgreSQL, as Debian names it, such as V(17). It is asked at its local socket.
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  owner:
    description: The role that owns it.
    type: str
    required: true
  passwords:
    description: Role -> password, the owner's too; at least 20 letters, digits or signs of ASCII each.
    type: dict
    required: true
  settings:
    description:
      - Settings that the server must run with, by name, as C(pg_settings) shows them. Otherwise the task fails, and
        says where the other value comes from. Not looked at in check mode.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Says what would change; of a server that is not there yet, everything.
  diff_mode:
    support: full
    description: Lists the changes; of a password only that it changes.
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Give each role what it needs
  kijun.baseline.postgresql_roles:
    version: "17"
    database: example
    owner: example_owner
    passwords:
      example_owner: "{{ vault_example_owner_password }}"
      example_reader: "{{ vault_example_reader_password }}"
    settings:
      password_encryption: scram-sha-256
"""

RETURN = r"""
steps:
  description: What was, or in check mode would be, changed.
  returned: success
  type: list
  elements: str
  sample: ["role example_reader: made", "database example: CONNECT taken from PUBLIC"]
"""
