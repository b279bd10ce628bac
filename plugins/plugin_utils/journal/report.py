# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a month of the operations journal, and its history of releases."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..accounts.pages.document import Column, Document, Table, render
from ..accounts.pages.ledger import verified
from ..ledger.book import is_same_person
from ..ledger.books.operations import Operations
from ..ledger.engine import Verification
from .words import RELEASES

Fields = Mapping[str, Any]

WORDS = {
    "operations_book": ("Operations journal", "運用記録簿"),
    "release_history": ("Release history", "リリース履歴"),
    "month": ("Month", "対象月"),
    "inspected": ("Inspected by the committee", "委員会による点検"),
    "not_inspected": ("not yet inspected", "未点検"),
    "releases": ("Changes and releases", "変更・リリース"),
    "rolled_back": ("Rolled back", "切り戻し"),
    "failed": ("Failed", "失敗"),
    "unconfirmed": ("Changes that nobody else confirmed", "他者の確認がない変更"),
    "unfinished": ("Runs that did not finish", "完了していない実行"),
    "backups_missing": ("Days without a backup", "バックアップのない日"),
    "backups": ("Backups", "バックアップ"),
    "restores": ("Restores, and tests of them", "復元・復元試験"),
    "restores_open": ("Restores that no person confirmed", "人による確認がない復元"),
    "errors_open": ("Errors without corrective action", "是正処置のない障害"),
    "errors_done": ("Errors with corrective action", "是正済みの障害"),
    "sessions": ("Logins and logouts", "ログイン・ログオフ"),
    "log_days": ("Logs stored", "ログの保管"),
    "log_days_missing": ("Days without stored logs", "ログ保管のない日"),
    "other_runs": ("Other runs", "その他の実行"),
    "said": ("Notes and corrections", "注記・訂正"),
    "inspections": ("Inspections", "点検記録"),
    "emergencies": ("Runs in production without a journal", "記録簿なしの本番実行"),
    "unconsidered": ("Releases whose problems nobody considered yet", "事後の検討が未実施のリリース"),
    "considered": ("What was considered", "検討結果"),
    "count": ("Number", "件数"),
    "first": ("First", "最初"),
    "last": ("Last", "最後"),
    "logins": ("Logins", "ログイン"),
    "logouts": ("Logouts", "ログオフ"),
    "privileges": ("Uses of sudo", "sudo使用"),
    "days": ("Days", "日"),
    "changes": ("What was changed", "変更内容"),
    "failures": ("What failed", "失敗内容"),
    "test_report": ("Test report", "テスト結果報告書"),
    "decided_by": ("Decided by", "実施判断者"),
    "impact": ("Impact", "影響"),
    "dangers": ("Danger points", "危険点"),
    "way_back": ("Way back", "切り戻し手順"),
    "git": ("Source", "ソース"),
    "trail": ("Work trail (SHA-256)", "作業証跡(SHA-256)"),
    "proof": ("Proof", "証拠"),
    "outcome_ok": ("ok", "成功"),
    "outcome_failed": ("failed", "失敗"),
    "outcome_unreachable": ("unreachable", "到達不能"),
    "outcome_interrupted": ("interrupted", "中断"),
    "outcome_open": ("not finished", "未完了"),
    "outcome_rolled_back": ("rolled back", "切り戻し済"),
    "outcome_accepted": ("accepted", "承認"),
    "outcome_corrections_ordered": ("corrections ordered", "訂正指示"),
    "outcome_confirmed": ("confirmed", "確認済み"),
    "outcome_none": ("-", "-"),
    "kind_run": ("run", "実行"),
    "kind_change": ("change", "変更"),
    "kind_rollback": ("rollback", "切り戻し"),
    "kind_backup": ("backup", "バックアップ"),
    "kind_check": ("check", "検査"),
    "kind_restore_test": ("restore test", "復元試験"),
    "kind_restore": ("restore", "復元"),
    "kind_prune": ("prune", "世代整理"),
    "kind_copy": ("second copy", "遠隔複製"),
    "kind_log_storage": ("log storage", "ログ保管"),
    "kind_malware_state": ("antimalware", "マルウェア対策の状態"),
    "kind_malware_scan": ("full scan", "完全スキャン"),
    "kind_login": ("login", "ログイン"),
    "kind_logout": ("logout", "ログオフ"),
    "kind_privilege": ("sudo", "sudo"),
    "kind_error": ("error", "障害"),
    "kind_correction": ("correction", "訂正・是正"),
    "kind_inspection": ("inspection", "点検"),
    "kind_note": ("note", "注記"),
}

TONES = {"ok": "pass", "confirmed": "pass", "accepted": "pass", "rolled_back": "excused", "none": "not_applicable"}

CLOCKS = datetime.timedelta(minutes=1)
"""How far the clocks of a host and of the controller may be apart."""

MOST_ROWS = 5000
"""Rows of a table of the page; all are in the CSV file of the same month."""


@dataclass
class Month:
    """A month of the journal, sorted out.

    Attributes:
        name: the month, such as 2026-11.
        lists: what stands in which list.
        backups: host -> days with a backup.
        backups_missing: host -> days without one.
        log_days: log server -> days of logs that it stored.
        log_days_missing: log server -> days that it did not.
        sessions: host and person -> their numbers.
    """

    name: str
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    backups: dict[str, list[str]] = field(default_factory=dict)
    backups_missing: dict[str, list[str]] = field(default_factory=dict)
    log_days: dict[str, list[str]] = field(default_factory=dict)
    log_days_missing: dict[str, list[str]] = field(default_factory=dict)
    sessions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def numbers(self) -> dict[str, int]:
        """How many there are of everything that somebody must see to."""
        return {
            "releases": len(self.lists["releases"]),
            "rolled_back": len(self.lists["rolled_back"]),
            "failed": len(self.lists["failed"]),
            "unconfirmed": len(self.lists["unconfirmed"]),
            "unfinished": len(self.lists["unfinished"]),
            "emergencies": len(self.lists["emergencies"]),
            "backups_missing": sum(map(len, self.backups_missing.values())),
            "restores_open": len(self.lists["restores_open"]),
            "errors_open": len(self.lists["errors_open"]),
            "log_days_missing": sum(map(len, self.log_days_missing.values())),
            "unconsidered": len(self.lists["unconsidered"]),
        }


LISTS = (
    *("releases", "rolled_back", "failed", "unconfirmed", "unfinished", "emergencies", "unconsidered", "other_runs"),
    *("restores", "restores_open", "errors_open", "errors_done", "said", "inspections"),
)


def days_of(month: str) -> list[str]:
    """The days of a month.

    Args:
        month: such as 2026-11.

    Raises:
        ValueError: it is none.
    """
    first = datetime.date.fromisoformat(month + "-01")
    following = (first + datetime.timedelta(days=31)).replace(day=1)
    return [(first + datetime.timedelta(days=number)).isoformat() for number in range((following - first).days)]


def years_before(day: datetime.date, years: int) -> datetime.date:
    """The first day of the journal that must still be kept: what is of the days before it may be put away.

    Args:
        day: today.
        years: for how many years it is kept.
    """
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year - years, day=28)


def sort_out(
    entries: Iterable[Fields], month: str, today: datetime.date, backup_hosts: Iterable[str] = (), own_run: str = ""
) -> Month:
    """Sort a month out.

    Args:
        entries: fields of the journal's entries from the month's beginning on, later ones too.
        month: the month.
        today: the date: days that are not over are not missed.
        backup_hosts: hosts that are to have a backup each day, beside those that had one.
        own_run: the run that asks, which cannot be finished.
    """
    found = Month(month, {name: [] for name in LISTS})
    lists = found.lists
    backups: dict[str, set[str]] = {host: set() for host in backup_hosts}
    logs: dict[str, set[str]] = {}
    # What hosts tell of a change is the release; the run that made it is not a second one.
    whole = [dict(given) for given in entries]
    told = [entry for entry in whole if entry["kind"] in RELEASES]
    for run in (entry for entry in whole if entry["kind"] == "run"):
        for change in told:
            if is_of(change, run):
                change["of_run"], run["is_told"] = run, True
    for entry in whole:
        kind, day = entry["kind"], entry["at"][:10]
        if kind == "inspection" and entry["details"].get("month") == month:
            lists["inspections"].append(entry)
        if kind == "log_storage" and str(entry["details"].get("day", ""))[:7] == month and entry["outcome"] == "ok":
            for host in entry["hosts"]:
                logs.setdefault(host, set()).add(str(entry["details"]["day"]))
        if day[:7] != month:
            continue
        if kind == "run":
            _run(lists, entry, own_run)
        elif kind in RELEASES:
            _release(lists, entry)
        elif kind == "backup":
            for host in entry["hosts"]:
                kept = backups.setdefault(host, set())
                if entry["outcome"] == "ok":
                    kept.add(day)
        elif kind in ("restore_test", "restore"):
            lists["restores"].append(entry)
            if entry["status"] != "confirmed":
                lists["restores_open"].append(entry)
        elif kind == "error":
            lists["errors_done" if entry["resolution"] else "errors_open"].append(entry)
        elif kind in ("login", "logout", "privilege"):
            _session(found.sessions, entry)
        elif kind in ("correction", "note"):
            lists["said"].append(entry)
        if kind in ("backup", "check", "restore_test", "restore", "prune", "copy") and entry["outcome"] != "ok":
            lists["failed"].append(entry)
    past = [day for day in days_of(month) if day < today.isoformat()]
    found.backups = {host: sorted(days) for host, days in sorted(backups.items())}
    found.backups_missing = _lacking(backups, past)
    found.log_days = {host: sorted(days) for host, days in sorted(logs.items())}
    # A day of logs is closed in the course of the next one.
    closed = [day for day in past if day < (today - datetime.timedelta(days=1)).isoformat()]
    found.log_days_missing = _lacking(logs, closed)
    return found


def _lacking(had: Mapping[str, set[str]], days: Sequence[str]) -> dict[str, list[str]]:
    lacking = {host: [day for day in days if day not in kept] for host, kept in sorted(had.items())}
    return {host: days for host, days in lacking.items() if days}


def is_of(change: Fields, run: Fields) -> bool:
    """Whether a run made a change that hosts or tasks tell of.

    Args:
        change: the change's fields.
        run: the run's.
    """
    if change["ticket"] != run["ticket"] or not set(change["hosts"]) & set(run["hosts"]):
        return False
    begin, end = _second(run["at"]) - CLOCKS, _second(run["until"] or "9999-12-31T00:00:00Z") + CLOCKS
    return begin <= _second(change["at"]) <= end


def _second(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def is_release(entry: Fields) -> bool:
    """Whether an entry is a release: a change or rollback, or a run that changed production or was under a ticket.

    Args:
        entry: its fields.
    """
    if entry["kind"] in RELEASES:
        return True
    run = entry["run"] or {}
    if entry["kind"] != "run" or run.get("check") or entry["hosts"] == ["localhost"]:
        return False
    changed = bool(run.get("changes")) and not entry.get("is_told")
    return changed and (bool(entry["ticket"]) or "production" in run.get("environment", "").split(", "))


def _run(lists: dict[str, list[dict[str, Any]]], entry: dict[str, Any], own_run: str) -> None:
    if entry["status"] == "open" and entry["id"] != own_run:
        lists["unfinished"].append(entry)
    if (entry["run"] or {}).get("emergency"):
        lists["emergencies"].append(entry)
    if is_release(entry):
        _release(lists, entry)
        return
    lists["other_runs"].append(entry)
    if entry["status"] != "open" and entry["outcome"] != "ok":
        lists["failed"].append(entry)


def _release(lists: dict[str, list[dict[str, Any]]], entry: dict[str, Any]) -> None:
    lists["releases"].append(entry)
    if entry["kind"] == "rollback" or entry["outcome"] == "rolled_back":
        lists["rolled_back"].append(entry)
    elif entry["outcome"] not in ("ok", ""):
        lists["failed"].append(entry)
    implementer = entry["implementer"] or entry["actor"]
    if not entry["confirmer"] or is_same_person(implementer, entry["confirmer"]):
        lists["unconfirmed"].append(entry)
    if entry["status"] != "considered":
        lists["unconsidered"].append(entry)


def _session(sessions: dict[tuple[str, str], dict[str, Any]], entry: Fields) -> None:
    for host in entry["hosts"]:
        known = sessions.setdefault(
            (host, entry["actor"]),
            {"login": 0, "logout": 0, "privilege": 0, "first": entry["at"], "last": entry["at"], "origins": set()},
        )
        times = entry["details"].get("count", "1") if entry["kind"] == "privilege" else "1"
        known[entry["kind"]] += int(times) if str(times).isdecimal() else 1
        known["first"] = min(known["first"], entry["at"])
        known["last"] = max(known["last"], entry["until"] or entry["at"])
        if entry["origin"]:
            known["origins"].add(entry["origin"])


def outcome_of(entry: Fields) -> str:
    """How an entry ended, in one word: ok, failed, open, ...

    Args:
        entry: its fields.
    """
    if entry["status"] == "open":
        return "open"
    return str(entry["outcome"] or "none")


def page(month: Month, verification: Verification) -> str:
    """The report on a month as HTML.

    Args:
        month: it.
        verification: how verifying the book's chain ended.
    """
    lists = month.lists
    bad = {"releases": "", "unconsidered": "error", "unconfirmed": "error"}
    tiles = [(bad.get(name, "fail") if count else "", name, count) for name, count in month.numbers().items()]
    tables = [
        _releases("releases", lists["releases"]),
        _entries("unfinished", lists["unfinished"]),
        _entries("failed", lists["failed"]),
        _entries("unconfirmed", lists["unconfirmed"]),
        _entries("emergencies", lists["emergencies"]),
        _days("backups_missing", month.backups_missing),
        _days("backups", month.backups),
        _restores(lists["restores"]),
        _entries("errors_open", lists["errors_open"]),
        _entries("errors_done", lists["errors_done"], said=True),
        _days("log_days_missing", month.log_days_missing),
        _days("log_days", month.log_days),
        _sessions(month.sessions),
        _entries("other_runs", lists["other_runs"]),
        _entries("said", lists["said"]),
        _entries("inspections", lists["inspections"]),
    ]
    return render(
        Document(
            key="operations_book",
            stem=month.name,
            facts=[
                ("month", month.name),
                ("inspected", _inspected(lists["inspections"])),
                ("ledger_count", str(verification.count)),
                ("ledger_head", verification.head),
            ],
            tiles=tiles,
            notices=[verified(verification)],
            tables=[table for table in tables if table.rows],
            words=_words(),
        )
    )


def releases_page(entries: Sequence[Fields], stretch: str, verification: Verification) -> str:
    """The history of releases as HTML: when, who, what, and with which outcome.

    Args:
        entries: fields of releases.
        stretch: of which time.
        verification: how verifying the book's chain ended.
    """
    unconsidered = sum(1 for entry in entries if entry["status"] != "considered")
    outcomes = [outcome_of(entry) for entry in entries]
    rolled_back = sum(
        1
        for entry, outcome in zip(entries, outcomes, strict=True)
        if entry["kind"] == "rollback" or outcome == "rolled_back"
    )
    failed = sum(1 for outcome in outcomes if outcome not in ("ok", "none", "rolled_back"))
    return render(
        Document(
            key="release_history",
            stem=stretch,
            facts=[
                ("month", stretch),
                ("ledger_count", str(verification.count)),
                ("ledger_head", verification.head),
            ],
            tiles=[
                ("", "releases", len(entries)),
                ("fail" if failed else "", "failed", failed),
                ("error" if rolled_back else "", "rolled_back", rolled_back),
                ("error" if unconsidered else "", "unconsidered", unconsidered),
            ],
            notices=[verified(verification)],
            tables=[_releases("releases", list(entries))],
            words=_words(),
        )
    )


def _words() -> dict[str, tuple[str, str]]:
    return {**WORDS, **{f"field_{name}": words for name, words in Operations.headings.items()}}


def _inspected(inspections: Sequence[Fields]) -> str:
    if not inspections:
        return "%s / %s" % WORDS["not_inspected"]
    last = inspections[-1]
    return "%s, %s (%s)" % (last["actor"], last["at"][:10], last["outcome"])


def _badge(entry: Fields) -> list[str]:
    outcome = outcome_of(entry)
    return [TONES.get(outcome, "fail"), "outcome_" + outcome if "outcome_" + outcome in WORDS else outcome]


def _releases(key: str, entries: Sequence[Fields]) -> Table:
    columns = (
        Column("field_outcome", "badge", "narrow"),
        Column("field_at", "moment"),
        Column("field_kind", "word"),
        Column("field_summary", "name"),
        Column("field_hosts", "list"),
        Column("field_actor", "fields"),
        Column("field_ticket"),
        Column("proof", "fields"),
        Column("considered"),
    )
    rows = [
        [
            _badge(entry),
            entry["at"],
            "kind_" + entry["kind"],
            entry["summary"],
            entry["hosts"],
            _said(
                [("field_implementer", entry["implementer"] or entry["actor"]), ("field_confirmer", entry["confirmer"])]
            ),
            entry["ticket"] or None,
            _proof(entry),
            "%s (%s)" % (entry["resolution"], entry["resolved_by"]) if entry["resolution"] else None,
            _what(entry),
        ]
        for entry in entries[:MOST_ROWS]
    ]
    details = ("changes", (Column("field_outcome", "word"), Column("changes", "name"), Column("field_hosts", "list")))
    return Table(key, columns, rows, choice=0, total=_total(entries), details=details)


def _what(entry: Fields) -> list[list[Any]]:
    """What a release changed, and what of it failed."""
    run = entry["run"]
    if not run:
        return [
            ["field_details", "%s: %s" % (name, value), entry["hosts"]]
            for name, value in sorted(entry["details"].items())
        ]
    changed = [
        ["changes", change["task"] + (": " + ", ".join(change["things"]) if change["things"] else ""), change["hosts"]]
        for change in run["changes"][:200]
    ]
    failed = [["failures", "%s: %s" % (one["task"], one["message"]), [one["host"]]] for one in run["failures"][:50]]
    return failed + changed


def _proof(entry: Fields) -> list[list[str]] | None:
    run = entry["run"] or entry.get("of_run", {}).get("run")
    if not run:
        return None
    git = run["git"]
    source = git.get("head", "") + (" +" if git.get("dirty") else "")
    return _said(
        [
            ("decided_by", run["decided_by"]),
            ("test_report", run["test_report"]),
            ("impact", run["impact"]),
            ("dangers", run["dangers"]),
            ("way_back", run["way_back"]),
            ("git", source),
            ("trail", run["trail"]["sha256"] if run["trail"] else ""),
        ]
    )


def _said(pairs: Iterable[tuple[str, Any]]) -> list[list[str]] | None:
    return [[key, str(value)] for key, value in pairs if value] or None


def _entries(key: str, entries: Sequence[Fields], said: bool = False) -> Table:
    columns = (
        Column("field_outcome", "badge", "narrow"),
        Column("field_at", "moment"),
        Column("field_kind", "word"),
        Column("field_id", "name"),
        Column("field_summary"),
        Column("field_hosts", "list"),
        Column("field_actor"),
        *((Column("field_resolution"),) if said else ()),
    )
    rows = [
        [
            _badge(entry),
            entry["at"],
            "kind_" + entry["kind"],
            entry["id"],
            entry["summary"],
            entry["hosts"],
            entry["actor"] or entry["implementer"] or None,
            *(("%s (%s)" % (entry["resolution"], entry["resolved_by"]),) if said else ()),
        ]
        for entry in entries[:MOST_ROWS]
    ]
    return Table(key, columns, rows, choice=0, total=_total(entries))


def _restores(entries: Sequence[Fields]) -> Table:
    columns = (
        Column("field_outcome", "badge", "narrow"),
        Column("field_at", "moment"),
        Column("field_kind", "word"),
        Column("field_id", "name"),
        Column("field_hosts", "list"),
        Column("field_seconds", "number"),
        Column("field_summary"),
        Column("field_details", "fields"),
        Column("field_resolution"),
    )
    rows = [
        [
            _badge(entry),
            entry["at"],
            "kind_" + entry["kind"],
            entry["id"],
            entry["hosts"],
            entry["seconds"],
            entry["summary"],
            _said(
                sorted((name, value) for name, value in entry["details"].items() if not isinstance(value, (dict, list)))
            ),
            "%s (%s)" % (entry["resolution"], entry["resolved_by"]) if entry["resolution"] else None,
        ]
        for entry in entries[:MOST_ROWS]
    ]
    return Table("restores", columns, rows, choice=0, total=_total(entries))


def _days(key: str, hosts: Mapping[str, Sequence[str]]) -> Table:
    columns = (Column("host", "name"), Column("count", "number"), Column("days", "list"))
    return Table(key, columns, [[host, len(days), [day[8:] for day in days]] for host, days in hosts.items()])


def _sessions(sessions: Mapping[tuple[str, str], Mapping[str, Any]]) -> Table:
    columns = (
        Column("host", "name"),
        Column("field_actor"),
        Column("logins", "number"),
        Column("logouts", "number"),
        Column("privileges", "number"),
        Column("first", "moment"),
        Column("last", "moment"),
        Column("field_origin", "list"),
    )
    rows = [
        [
            *(host, person, known["login"], known["logout"], known["privilege"], known["first"], known["last"]),
            sorted(known["origins"])[:20],
        ]
        for (host, person), known in sorted(sessions.items())
    ]
    return Table("sessions", columns, rows[:MOST_ROWS], total=len(rows) if len(rows) > MOST_ROWS else None)


def _total(entries: Sequence[Any]) -> int | None:
    return len(entries) if len(entries) > MOST_ROWS else None
