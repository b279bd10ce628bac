# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence as an audit of the areas authentication and time_sync leaves it, made up for the report's tests.

The records have the shape and the kind of content of real ones; they stand for no real host.
"""

from __future__ import annotations

import copy
import random
from typing import Any

STARTED = "2026-11-21T10:15:00Z"

DEBIAN_12 = ("Debian GNU/Linux 12 (bookworm)", "6.1.0-31-amd64")
DEBIAN_13 = ("Debian GNU/Linux 13 (trixie)", "6.12.9-amd64")

HOSTS: dict[str, tuple[list[str], tuple[str, str]]] = {
    "server12": (["lab", "servers"], DEBIAN_12),
    "server13": (["lab", "servers"], DEBIAN_13),
    "client12": (["lab", "clients"], DEBIAN_12),
    "client13": (["lab", "clients"], DEBIAN_13),
    "time1": (["lab", "servers", "time_servers"], DEBIAN_13),
}

# id, English title, Japanese title, severity, clauses, checks (fact, operator, expected, actual on a stock host).
_CONTROLS: list[tuple[str, str, str, str, list[str], list[tuple[str, str, Any, Any]]]] = [
    (
        "AUTH-01",
        "Require passwords of at least eight characters",
        "パスワードは8文字以上とする",
        "high",
        ["SM-4.1.5-1-1", "MR-14-1"],
        [("pwquality.minlen", ">=", 8, None), ("pam.password[pam_pwquality.so]", "contains", "requisite", [])],
    ),
    (
        "AUTH-02",
        "Require a capital, a small and a special character",
        "英大文字・英小文字・記号を必須とする",
        "high",
        ["SM-4.1.5-1-1", "MR-14-1b", "ST-8-1"],
        [("pwquality.ucredit", "<=", -1, 0), ("pwquality.lcredit", "<=", -1, 0), ("pwquality.ocredit", "<=", -1, 0)],
    ),
    (
        "AUTH-03",
        "Refuse words of a dictionary and the user's own name",
        "辞書の語とユーザー名を拒否する",
        "medium",
        ["MR-14-1c", "ST-8-1"],
        [("pwquality.dictcheck", "==", 1, 0), ("pwquality.usercheck", "==", 1, 0)],
    ),
    (
        "AUTH-04",
        "Refuse the last twelve passwords",
        "直近12回のパスワードの再利用を拒否する",
        "medium",
        ["SM-4.1.5-1-3", "SO-2.1-password-history"],
        [("pwhistory.remember", ">=", 12, None)],
    ),
    (
        "AUTH-05",
        "Have passwords changed every ninety days",
        "パスワードを90日ごとに変更させる",
        "medium",
        ["GL-2.1-3", "SM-4.1.5-1-2", "SO-2.1-password-rotation"],
        [
            ("login_defs.PASS_MAX_DAYS", "<=", 90, 99999),
            ("accounts.max_days", "each <=", 90, {"app": 99999, "ops": 99999}),
        ],
    ),
    (
        "AUTH-06",
        "Hash passwords with yescrypt",
        "パスワードを yescrypt でハッシュ化する",
        "high",
        ["SM-4.2.3-6b"],
        [("login_defs.ENCRYPT_METHOD", "==", "YESCRYPT", "SHA512")],
    ),
    (
        "AUTH-07",
        "Lock an account after ten failed logins",
        "連続10回の認証失敗でアカウントを停止する",
        "high",
        ["SM-4.1.5-1-6"],
        [("faillock.deny", "==", 10, 3), ("faillock.unlock_time", "==", 0, 600)],
    ),
    (
        "AUTH-08",
        "Accept no empty password",
        "空のパスワードを受け付けない",
        "critical",
        ["ST-8-1"],
        [("pam.auth.nullok", "empty", None, ["common-auth:17"])],
    ),
    (
        "AUTH-09",
        "Keep the password file readable by root only",
        "パスワードファイルを root のみ読めるようにする",
        "critical",
        ["SM-4.2.3-6b"],
        [("files[/etc/shadow].mode", "==", "0640", "0644"), ("files[/etc/shadow].owner", "==", "root", "root")],
    ),
    (
        "TIME-01",
        "Synchronise with named time servers",
        "指定した時刻サーバーと同期する",
        "high",
        ["SM-4.2.4-6", "SM-4.8.1-4a"],
        [("chrony.sources", "subset", ["time1.example.com"], ["0.debian.pool.ntp.org", "1.debian.pool.ntp.org"])],
    ),
    (
        "TIME-02",
        "Keep the clock within one second of its source",
        "時刻のずれを1秒以内に保つ",
        "high",
        ["SM-4.8.1-4a"],
        [("chrony.synchronised", "==", True, False), ("chrony.offset_seconds", "<=", 1.0, 0.0003)],
    ),
    (
        "TIME-03",
        "Open no remote command port of chrony",
        "chrony の遠隔操作ポートを開かない",
        "medium",
        ["SM-4.8.1-4b"],
        [("listening.udp", "excludes", 323, [323])],
    ),
]

CLAUSES = {
    "SM-4.1.5-1-6": "Suspend an account after repeated consecutive authentication failures",
    "SM-4.8.1-4a": "Synchronise clocks between systems through NTP so logs hold as evidence",
    "ST-8-1": "Passwords are sufficiently complex",
}


def control(number: int, verdict: str) -> dict[str, Any]:
    """Result of the sample control ``number`` with a verdict; its checks agree with the verdict."""
    identifier, english, japanese, severity, clauses, checks = _CONTROLS[number]
    met = verdict in ("pass", "not_applicable")
    return {
        "id": identifier,
        "title": {"en": english, "ja": japanese},
        "area": "authentication" if identifier.startswith("AUTH") else "time_sync",
        "severity": severity,
        "scope": ["server", "client"],
        "status": "automated",
        "clauses": clauses,
        "verdict": verdict,
        "reason": _reason(verdict),
        "deviation": None,
        "exception": _EXCEPTION if verdict == "excused" else None,
        "checks": [] if verdict == "not_applicable" else [_check(check, met, verdict) for check in checks],
    }


_EXCEPTION = {
    "id": "EXC-2026-014",
    "from": "2026-11-01",
    "until": "2026-12-31",
    "days_left": 40,
    "measure": "its login is limited to the batch server",
    "approver": "security committee",
    "reason": "a batch system cannot change its password until it is replaced",
    "ticket": "SEC-112",
}


def _reason(verdict: str) -> str | None:
    """The reason a record gives where the verdict alone does not explain itself."""
    return {"not_applicable": "no account here logs in with a password", "error": "a fact could not be read"}.get(
        verdict
    )


def _check(check: tuple[str, str, Any, Any], met: bool, verdict: str) -> dict[str, Any]:
    """One check: what is expected is found on a host that meets it."""
    fact, operator, expected, stock = check
    found = {"empty": [], "excludes": [], "contains": [expected]}.get(operator, expected) if met else stock
    if verdict == "error":
        return _answer(fact, operator, expected, None, "error", "Permission denied")
    same = met or stock == expected or (operator == "<=" and isinstance(stock, float))
    return _answer(fact, operator, expected, found, "pass" if same else "fail", None)


def _answer(fact: str, operator: str, expected: Any, actual: Any, verdict: str, detail: str | None) -> dict[str, Any]:
    """A check as an evidence record holds it."""
    return {"fact": fact, "op": operator, "expected": expected, "actual": actual, "verdict": verdict, "detail": detail}


def record(name: str, verdicts: list[str], groups: list[str] | None = None) -> dict[str, Any]:
    """The evidence record of a host.

    :param verdicts: the verdict of each control in turn; missing ones are ``pass``. More verdicts than there are
        sample controls repeat the controls under further ids.
    """
    known_groups, (system, kernel) = HOSTS.get(name, (["servers"], DEBIAN_13))
    controls = []
    for number, verdict in enumerate(verdicts + ["pass"] * (len(_CONTROLS) - len(verdicts))):
        result = control(number % len(_CONTROLS), verdict)
        if number >= len(_CONTROLS):
            result["id"] += f".{number // len(_CONTROLS)}"
        controls.append(result)
    counts = dict.fromkeys(("pass", "fail", "excused", "not_applicable", "error"), 0)
    for result in controls:
        counts[result["verdict"]] += 1
    return copy.deepcopy(
        {
            "schema": "kijun.evidence/1",
            "host": {"name": name, "groups": groups or known_groups, "os": system, "kernel": kernel, "time": STARTED},
            "totals": counts,
            "controls": controls,
            "problems": [],
        }
    )


def run(identifier: str = "20261121T101500Z") -> dict[str, Any]:
    """A run as its records name it; its id is the time it started at."""
    day = f"{identifier[:4]}-{identifier[4:6]}-{identifier[6:8]}"
    return {
        "id": identifier,
        "started": f"{day}T10:15:00Z",
        "finished": f"{day}T10:15:07Z",
        "playbook": "audit.yml",
        "version": "0.1.0",
    }


def stock_fleet() -> dict[str, dict[str, Any]]:
    """Five hosts before anything was enforced; one could not be audited."""
    bad = ["fail"] * 9 + ["fail", "error", "fail"]
    records = {name: record(name, bad) for name in ("server12", "client12", "client13")}
    records["server13"] = record("server13", ["pass"] * 5 + ["pass", "fail"])
    records["client12"]["problems"] = [{"file": "/etc/passwd", "line": 7, "problem": "6 fields where 7 belong"}]
    return records


def enforced_fleet() -> dict[str, dict[str, Any]]:
    """The same hosts afterwards: most is met, one control is excused, one was undone by hand, one became worse."""
    records = {name: record(name, []) for name in HOSTS}
    records["client12"] = record("client12", ["pass"] * 4 + ["excused", "pass", "fail", "pass", "fail"])
    records["client12"]["problems"] = [{"file": "/etc/passwd", "line": 7, "problem": "6 fields where 7 belong"}]
    records["client13"] = record("client13", ["pass"] * 10 + ["error"])
    records["server13"] = record("server13", ["pass", "fail", "pass", "pass", "not_applicable"])
    return records


def large_fleet(hosts: int = 1000, controls: int = 40) -> dict[str, dict[str, Any]]:
    """Many hosts with many controls, one in ten results not a pass; the same each time."""
    chance = random.Random(20261121)
    kinds = ["fail"] * 6 + ["error", "excused", "not_applicable", "not_applicable"]
    fleet = {}
    for number in range(hosts):
        verdicts = [chance.choice(kinds) if chance.random() < 0.1 else "pass" for _ in range(controls)]
        fleet[f"host{number:04}"] = record(f"host{number:04}", verdicts)
    for found in list(fleet.values())[::7]:
        # Measured values differ from host to host: they must not defeat the page's sharing of equal results.
        for check in found["controls"][10]["checks"][-1:]:
            check["actual"] = round(chance.random() / 1000, 6)
    return fleet
