# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reconciliation can find: the kinds, how grave each is, the clauses it touches, and its words."""

from __future__ import annotations

from typing import Any, NamedTuple

SEVERITIES = ("critical", "high", "medium", "low")
"""Worst first."""


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: one of :data:`SEVERITIES`; what a finding of the kind has unless it says otherwise.
        clauses: ids of the register ``policy/clauses``.
        title: English and Japanese.
        help: English and Japanese; one sentence.
    """

    severity: str
    clauses: tuple[str, ...]
    title: tuple[str, str]
    help: tuple[str, str]


KINDS: dict[str, Kind] = {
    "leaver": Kind(
        "critical",
        ("GL-2.1-2", "MR-15-5", "SM-4.1.3-1", "ST-7-4"),
        ("Leaver still active", "退職・停止者のアカウントが有効"),
        (
            "The ledger has ended or suspended the account, and the host still lets it in.",
            "台帳では終了または停止しているのに、ホストで利用できます。",
        ),
    ),
    "unknown_administrator": Kind(
        "critical",
        ("SM-4.2.3-6a", "MR-16-1", "GL-2.1-6"),
        ("Unknown administrator", "台帳にない管理者"),
        (
            "The account may become root, and the ledger does not say so.",
            "台帳に根拠がないのに、管理者権限を得られます。",
        ),
    ),
    "uid_zero": Kind(
        "critical",
        ("SM-4.2.3-6a", "GL-2.1-1", "GL-2.1-4"),
        ("User id 0 besides root", "root以外のUID 0"),
        ("Another name than root has root's user id.", "root以外の名前がrootのUIDを持っています。"),
    ),
    "empty_password": Kind(
        "critical",
        ("ST-8-1", "SM-4.2.4-7-6"),
        ("Empty password", "空のパスワード"),
        ("No password is asked for.", "パスワードなしで利用できます。"),
    ),
    "weak": Kind(
        "critical",
        ("ST-8-1", "MR-14-1c", "SM-4.2.3-6b", "SM-4.2.4-7-6"),
        ("Weak password", "弱いパスワード"),
        ("The password was guessed.", "パスワードが推測できました。"),
    ),
    "unregistered": Kind(
        "high",
        ("GL-2.1-6", "SM-4.1.1-1a", "SM-4.1.1-2", "SM-4.2.4-7-5"),
        ("Not in the ledger", "台帳にないアカウント"),
        ("The account is on the host and not in the ledger.", "ホストにあり、台帳にありません。"),
    ),
    "expired": Kind(
        "high",
        ("GL-2.1-2", "SM-4.1.3-1", "ST-7-4"),
        ("Past its end", "有効期限切れ"),
        ("The account's validity is over, and the host still lets it in.", "有効期限を過ぎても利用できます。"),
    ),
    "rights": Kind(
        "high",
        ("GL-2.1-4", "SM-4.1.2-1", "ST-7-3", "SM-4.2.4-7-3"),
        ("Differing rights", "権限の相違"),
        ("The account's rights are not those of the ledger.", "権限が台帳と異なります。"),
    ),
    "sudo_unknown": Kind(
        "high",
        ("GL-2.1-4", "SM-4.1.1-1b", "ST-7-3", "SM-4.2.4-7-3"),
        ("Sudo for an unknown name", "台帳にない名前へのsudo許可"),
        ("A sudo rule names what the ledger does not know.", "sudoの規則が台帳にない名前を指しています。"),
    ),
    "shared": Kind(
        "high",
        ("GL-2.1-1", "ST-7-2", "MR-14-2"),
        ("Shared use", "共用の疑い"),
        (
            "One key opens the accounts of several persons, or one account has more keys than it should.",
            "一つの鍵が複数人のアカウントで使われているか、一つのアカウントの鍵が多すぎます。",
        ),
    ),
    "second_account": Kind(
        "high",
        ("GL-2.1-1", "ST-7-1", "SM-4.1.1-1a"),
        ("Second account of a person", "同一人物の複数アカウント"),
        ("One person has more than one account in use.", "一人が複数の有効なアカウントを持っています。"),
    ),
    "duplicate_uid": Kind(
        "high",
        ("ST-7-1", "GL-2.1-1"),
        ("User id used twice", "UIDの重複"),
        ("Several accounts cannot be told apart.", "複数のアカウントを区別できません。"),
    ),
    "unused": Kind(
        "medium",
        ("SM-4.1.3-3", "ST-7-4"),
        ("Unused", "長期未使用"),
        ("Nobody has logged in for longer than allowed.", "定めた期間を超えてログインがありません。"),
    ),
    "never_changed": Kind(
        "medium",
        ("ST-8-2", "SM-4.1.5-1-4"),
        ("Initial password never changed", "初期パスワード未変更"),
        ("The password handed over is still in place.", "渡した初期パスワードのままです。"),
    ),
    "remaining": Kind(
        "medium",
        ("GL-2.1-2", "ST-7-4", "SM-4.2.4-7-5"),
        ("Not yet removed", "削除されていないアカウント"),
        (
            "The ledger has removed the account; the host still has it and does not let it in.",
            "台帳では削除済みですが、ホストに残っています(利用はできません)。",
        ),
    ),
    "missing": Kind(
        "low",
        ("GL-2.1-6", "SM-4.1.2-3"),
        ("Not on the host", "ホストにないアカウント"),
        ("The account is in the ledger and not on the host.", "台帳にあり、ホストにありません。"),
    ),
}
"""Kind -> what it is, worst first."""

NOTES: dict[str, tuple[str, str]] = {
    "groups_more": ("groups more: {}", "余分なグループ: {}"),
    "groups_less": ("groups less: {}", "不足しているグループ: {}"),
    "sudo_more": ("sudo more: {}", "余分なsudo規則: {}"),
    "sudo_less": ("sudo less: {}", "不足しているsudo規則: {}"),
    "keys_more": ("keys more: {}", "余分な鍵: {}"),
    "keys_less": ("keys less: {}", "不足している鍵: {}"),
    "keys_unread": ("keys could not be read: {}", "鍵を読み取れません: {}"),
    "ledger_key": ("no key in the ledger's line: {}", "台帳の鍵の行が不正: {}"),
    "shell": ("login shell: {}", "ログインシェル: {}"),
    "uid": ("user id: {}", "UID: {}"),
    "expires": ("expires: {}", "有効期限: {}"),
    "password_less": ("no password to log in with: {}", "パスワードで利用できない状態: {}"),
    "person": ("person: {}", "氏名: {}"),
    "groups": ("groups: {}", "グループ: {}"),
    "sudo": ("sudo: {}", "sudo: {}"),
    "ways": ("opened by: {}", "利用できる手段: {}"),
    "no_way": ("cannot log in: {}", "ログインできない状態: {}"),
    "system": ("system account that can log in, user id {}", "ログインできるシステムアカウント、UID {}"),
    "reason": ("ledger: {}", "台帳: {}"),
    "sessions": ("sessions open: {}", "接続中のセッション: {}"),
    "processes": ("processes running: {}", "実行中のプロセス: {}"),
    "cron": ("cron table: {}", "cron表: {}"),
    "at": ("at jobs: {}", "atジョブ: {}"),
    "ended": ("ended on {}", "終了日 {}"),
    "last_login": ("last login {}", "最終ログイン {}"),
    "never_since": ("never logged in since {}", "{} 以降ログインなし"),
    "issued": ("issued {}", "発行 {}"),
    "guessed": ("{}", "{}"),
    "key": ("key {}", "鍵 {}"),
    "accounts": ("accounts: {}", "アカウント: {}"),
    "many_keys": ("keys, more than allowed: {}", "上限を超えた鍵の数: {}"),
    "same_uid": ("same user id as: {}", "同じUIDのアカウント: {}"),
    "rule": ("rule: {}", "規則: {}"),
    "not_by_ledger": ("may become root by: {}", "管理者権限の根拠: {}"),
}
"""Code of a remark -> English and Japanese, with the place for its value."""

Note = tuple[str, str]
"""A code of :data:`NOTES` and its value."""


class Finding(NamedTuple):
    """One difference between the ledger and a host.

    Attributes:
        host: its name in the inventory; empty for what spans hosts.
        login: the account, or the name in a sudo rule.
        kind: a key of :data:`KINDS`.
        severity: one of :data:`SEVERITIES`.
        notes: what exactly, to be worded in a reader's language.
        clauses: ids of the register.
        since: since when it is so, ISO 8601; None where that is not known.
    """

    host: str
    login: str
    kind: str
    severity: str
    notes: tuple[Note, ...]
    clauses: tuple[str, ...]
    since: str | None

    @property
    def detail(self) -> str:
        """What exactly, in English."""
        return self.words("en")

    def words(self, language: str) -> str:
        """What exactly.

        Args:
            language: ``en`` or ``ja``.

        Returns:
            One line, its parts separated by semicolons.
        """
        column = 1 if language == "ja" else 0
        return "; ".join(NOTES[code][column].format(value) for code, value in self.notes)

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values, for a book entry."""
        return {
            "host": self.host,
            "login": self.login,
            "kind": self.kind,
            "severity": self.severity,
            "detail": self.detail,
            "clauses": list(self.clauses),
            "since": self.since,
        }


def finding(
    host: str, login: str, kind: str, *notes: Note, since: str | None = None, severity: str | None = None
) -> Finding:
    """Make a finding with its kind's severity and clauses.

    Args:
        host: the host's name; empty for what spans hosts.
        login: the account.
        kind: a key of :data:`KINDS`.
        notes: what exactly.
        since: ISO 8601.
        severity: another than the kind's.
    """
    about = KINDS[kind]
    return Finding(host, login, kind, severity or about.severity, notes, about.clauses, since)
