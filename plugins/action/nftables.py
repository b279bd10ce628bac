# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.nftables: rules can lock out, so they are loaded under the guard."""

from __future__ import annotations

from ..plugin_utils.guarded import GuardedModule


class ActionModule(GuardedModule):
    """Brings one host's packet filter to what its file says."""

    MODULE = "kijun.baseline.nftables"
    ALWAYS = True
