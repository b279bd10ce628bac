# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.units: a unit that does not come up takes unconfirmed changes back."""

from __future__ import annotations

from ..plugin_utils.guarded import GuardedModule


class ActionModule(GuardedModule):
    """Brings one host's units into their state."""

    MODULE = "kijun.baseline.units"
