# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.kernel_state: network settings can lock out, so they change under the guard."""

from __future__ import annotations

from ..plugin_utils.guarded import GuardedModule


class ActionModule(GuardedModule):
    """Brings one host's kernel to its settings."""

    MODULE = "kijun.baseline.kernel_state"
    ALWAYS = True
