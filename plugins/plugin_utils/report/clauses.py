# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report takes from the collection it is part of: the clauses' titles and the version."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

#: plugins/plugin_utils/report/clauses.py -> the collection, in a checkout and where it was installed.
COLLECTION = Path(__file__).resolve().parents[3]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def clause_titles(collection: Path = COLLECTION) -> dict[str, str]:
    """The title of each clause of the register ``policy/clauses/*.yml``, by clause id."""
    titles = {}
    for path in sorted((collection / "policy" / "clauses").glob("*.yml")):
        for clause in yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader):
            titles[clause["id"]] = clause["title"]
    return titles


def collection_version(collection: Path = COLLECTION) -> str:
    """The collection's version: from ``galaxy.yml`` in a checkout, from ``MANIFEST.json`` where it was installed."""
    source = collection / "galaxy.yml"
    if source.exists():
        return str(yaml.load(source.read_text(encoding="utf-8"), Loader=_Loader)["version"])
    manifest = json.loads((collection / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest["collection_info"]["version"])
