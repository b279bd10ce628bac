# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the processes that ansible-core forks for its tasks cheaper; docs/decisions/0013 says what that saves."""

from __future__ import annotations

import functools
import gc
import os

THRESHOLD = 50_000
"""Objects that a worker makes before its garbage collector looks at them; CPython's own figure is 700."""


@functools.cache
def lighten_forks() -> None:
    """From now on, a forked process leaves the objects that it inherits alone.

    ansible-core forks a process for each task on each host, which ends with it. Its first full collection would walk
    through all that the playbook's process has loaded and, because that writes into each object, copy its memory.
    """
    # As the documentation of gc.freeze() says: before the fork, so that no page is copied on account of the collector.
    os.register_at_fork(before=gc.freeze, after_in_child=functools.partial(gc.set_threshold, THRESHOLD))
