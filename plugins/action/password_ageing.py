# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.password_ageing: an age can lock out, so it can be set under the guard."""

from __future__ import annotations

from ..plugin_utils.guarded import GuardedModule


class ActionModule(GuardedModule):
    """Sets the ages of one host's passwords."""

    MODULE = "kijun.baseline.password_ageing"
