# SPDX-License-Identifier: GPL-3.0-or-later
"""The design of access rights: one document of what hosts grant, each version approved and kept in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils import access_document
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade

BOOK = "access_designs"


def test_hosts_that_are_set_alike_stand_together() -> None:
    rights = {"b": {"x": [1]}, "a": {"x": [1]}, "c": {"x": [2]}}
    found = access_document.design(rights, [{"login": "worker", "hosts": ["a"], "secret": "s"}])
    assert [group["hosts"] for group in found["hosts"]] == [["a", "b"], ["c"]]
    assert "secret" not in access_document.canonical(found)


def test_what_changed_is_told_by_host_and_account() -> None:
    before = access_document.design({"a": {"x": 1, "y": 2}}, [])
    after = access_document.design({"a": {"x": 3}}, [{"login": "worker"}])
    assert access_document.changes(None, after) == ["the first version"]
    lines = access_document.changes(before, after)
    assert lines[0] == "a x: 3, was 1"
    assert any(line.startswith("account worker: ") for line in lines)
    assert "a y: gone, was 2" in lines
    assert access_document.changes(after, after) == []


def test_values_in_the_page_are_not_read_as_markdown() -> None:
    found = access_document.design({"a": {"privileges_su_users": ["# x\n## <script>"]}}, [])
    text = access_document.page("test", found, {"Version": 1})
    assert "accounts that may be members" in text.lower()
    assert [line for line in text.splitlines() if line.startswith("##")] == ["## a", "## Accounts / アカウント"]
    assert not [line for line in text.splitlines() if "<script>" in line and not line.startswith("    ")]


def test_a_document_that_is_not_its_digests_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    upgrade(url)
    with Ledger(url) as ledger:
        payload = {"hosts": ["a"], "digest": "0" * 64, "document": "{}"}
        with pytest.raises(LedgerError, match="is not of this document"):
            ledger.append(BOOK, [Change("x", "issue", payload, "Sample Manager", "CHG-1")], "operator")
