# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation points at exists, and the Japanese README says what the English one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kijun_tools import tree

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "policy/*.md", "roles/*/*.md", "lab/*.md", "tests/**/*.md")
    for path in tree.ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?!\w+://|mailto:|#)([^)#\s]+)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(tree.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert not [link for link in LINK.findall(text) if not (page.parent / link).exists()]


def without_comments(block: str) -> str:
    """A block of code without its comments, which are translated."""
    return re.sub(r" *#.*", "", block)


def test_the_readmes_show_the_same_commands_and_examples() -> None:
    english, japanese = (
        [without_comments(block) for block in FENCE.findall((tree.ROOT / name).read_text(encoding="utf-8"))]
        for name in ("README.md", "README.ja.md")
    )
    assert english
    assert japanese == english


def test_the_readmes_have_the_same_sections_and_links() -> None:
    english, japanese = ((tree.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))
    outline = re.compile(r"^#+", re.MULTILINE)
    assert outline.findall(FENCE.sub("", japanese)) == outline.findall(FENCE.sub("", english))
    other = {"README.md", "README.ja.md"}
    assert set(LINK.findall(japanese)) - other == set(LINK.findall(english)) - other


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (tree.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"[`\n]make ([a-z-]+)", (tree.ROOT / name).read_text(encoding="utf-8")))
        assert not sorted(named - targets), name
