# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles of this collection say of themselves in files of their own: controls.yml and limits.yml.

As variables of the roles these would be read with every run, at ten times the cost, and copied for every task.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml
from ansible.template import trust_as_template

from .filled import is_template

ROLES = Path(__file__).resolve().parents[2] / "roles"


def roles_with(name: str) -> list[str]:
    """Names of the roles that have such a file, without the collection, sorted.

    Args:
        name: the file's, such as ``controls.yml``.
    """
    return sorted(path.parent.name for path in ROLES.glob("*/%s" % name))


@functools.cache
def written(role: str, name: str) -> Any:
    """What stands in a file of a role, its templates marked as those that may be filled in. Nobody may change it.

    Args:
        role: the role's name, without the collection.
        name: the file's, such as ``controls.yml``.

    Raises:
        FileNotFoundError: the role has none, or there is no such role.
    """
    # Ten times faster than the loader in Python, where the library is built with it, as Debian's and PyPI's are.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _trusted(yaml.load((ROLES / role / name).read_text(encoding="utf-8"), loader))


def _trusted(value: Any) -> Any:
    if isinstance(value, str):
        return trust_as_template(value) if is_template(value) else value
    if isinstance(value, dict):
        return {name: _trusted(member) for name, member in value.items()}
    return [_trusted(member) for member in value] if isinstance(value, list) else value
