# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: actor
short_description: Who runs it
version_added: "0.6.0"
author: Kijun developers
description:
  - Whom the variable C(kijun_actor) names, the user who started the job in AWX (C(awx_user_name)), or whoever is logged
    in on the controller; the person, where they came to be another user by sudo.
  - It is what the modules on ledgers take for C(actor), and what the operations journal names.
options:
  _terms:
    description: Takes none.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Say who runs it
  ansible.builtin.debug:
    msg: "{{ lookup('kijun.baseline.actor') }}"
"""

RETURN = r"""
_raw:
  description: The name.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ..plugin_utils.actor import VARIABLES, actor


class LookupModule(LookupBase):
    """Reads the variables, and the process."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The name."""
        self.set_options(var_options=variables, direct=kwargs)
        given = [(variables or {}).get(name) for name in VARIABLES]
        return [actor(*(self._templar.template(name) for name in given if name is not None))]
