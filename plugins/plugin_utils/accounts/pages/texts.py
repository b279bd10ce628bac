# SPDX-License-Identifier: GPL-3.0-or-later
"""Every word of the pages, in English and Japanese. What the audit's report says as well is said in its words."""

from __future__ import annotations

from ...report.texts import TEXTS as REPORT

_SHARED = """skip language run version overview hosts filters search reset severity low medium high critical clauses
    host problem show_more nothing none""".split()  # noqa: SIM905 - as text, one can read it

_OWN: dict[str, tuple[str, str]] = {
    "reconciliation": ("Accounts: hosts and ledger compared", "アカウント棚卸報告"),
    "ledger": ("Account ledger", "アカウント管理台帳"),
    "search_hint": ("Login, person, host, kind or detail", "ログイン名、利用者、ホスト、種別、内容"),
    "choice": ("Show", "表示"),
    "everything": ("Everything", "すべて"),
    "shown": ("Rows that match: {shown} of {total}.", "{total} 行中 {shown} 行が該当します。"),
    "print_more": ("Rows that are not printed: {count}.", "ほか {count} 行は印刷していません。"),
    "capped": ("The first {shown} of {total} rows.", "全 {total} 行のうち、最初の {shown} 行です。"),
    "capped_findings": (
        "The {shown} worst of {total} findings. All of them are in the CSV file of the same run.",
        "全 {total} 件のうち、重要度の高い {shown} 件です。すべての指摘は同じ実行のCSVファイルにあります。",
    ),
    "capped_accounts": (
        "The first {shown} of {total} accounts. All of them are in an export of the ledger.",
        "全 {total} 件のうち、最初の {shown} 件です。すべてのアカウントは台帳のエクスポートにあります。",
    ),
    "static_note": (
        "This is the short form. With JavaScript the page shows everything, and searches it.",
        "簡易表示です。JavaScript を有効にすると、すべての内容の表示と検索ができます。",
    ),
    "footer": (
        "What stands here names weak places: keep it as closely as the ledger itself.",
        "弱点に関する情報を含みます。台帳と同様に厳重に管理してください。",
    ),
    "ledger_count": ("Events in the ledger", "台帳の記録数"),
    "ledger_head": ("Ledger's newest hash", "台帳の末尾ハッシュ"),
    "read_at": ("Read at", "読取日時"),
    "accounts": ("Accounts", "アカウント"),
    "hosts_read": ("Hosts read", "確認したホスト"),
    "several_hosts": ("several", "複数"),
    "unreached": ("Hosts not reached", "確認できなかったホスト"),
    "unreached_notice": (
        "Hosts not reached: {count}. Nothing on this page speaks of them.",
        "確認できなかったホスト: {count} 台。このページの内容はそれらを含みません。",
    ),
    "agree": (
        "Every host that was read agrees with the ledger: {hosts}.",
        "確認した {hosts} 台のホストはすべて台帳と一致しています。",
    ),
    "no_host": ("No host was read.", "確認できたホストはありません。"),
    "findings": ("Findings", "指摘事項"),
    "by_kind": ("What was looked for", "確認した項目"),
    "number": ("Number", "件数"),
    "meaning": ("Meaning", "意味"),
    "kind": ("Kind", "種別"),
    "login": ("Login name", "ログイン名"),
    "detail": ("Detail", "内容"),
    "since": ("Since", "起点"),
    "why": ("Reason", "理由"),
    "problems": ("What could not be read or judged", "確認できなかった事項"),
    "ignored": ("Left out", "対象外としたアカウント"),
    "suspended_now": ("Suspended by this run", "この実行で停止したアカウント"),
    "time": ("Time", "日時"),
    "account_list": ("Accounts", "アカウント"),
    "rights": ("Rights", "権限"),
    "validity": ("Valid", "有効期間"),
    "last_review": ("Last review", "最終棚卸"),
    "history": ("History", "履歴"),
    "action": ("Action", "操作"),
    "by": ("By", "実施者"),
    "actor": ("Actor", "実施者"),
    "changes": ("Changes", "変更内容"),
    "earlier_events": ("Earlier events, in an export", "以前の記録(エクスポート参照)"),
    "review": ("Review", "棚卸"),
    "review_monthly": ("monthly", "月次"),
    "review_yearly": ("yearly", "年次"),
    "due": ("Due", "期限"),
    "overdue": ("Overdue reviews", "期限を過ぎた棚卸"),
    "chain_holds": (
        "The chain holds. Events: {count}.",
        "{count} 件の記録の連鎖に改ざんは見つかりませんでした。",
    ),
    "chain_broken": (
        "The chain does not hold from event {number} on: {reason}",
        "記録 {number} 以降の連鎖が壊れています: {reason}",
    ),
    "status_requested": ("requested", "申請中"),
    "status_approved": ("approved", "承認済み"),
    "status_active": ("active", "有効"),
    "status_suspended": ("suspended", "停止中"),
    "status_disabled": ("disabled", "無効"),
    "status_removed": ("removed", "削除済み"),
    "account_person": ("person", "個人"),
    "account_administrator": ("administrator", "管理者"),
    "account_operator": ("operator", "運用者"),
    "account_service": ("service", "サービス"),
    "account_batch": ("batch", "バッチ"),
    "account_shared-exception": ("shared by exception", "例外による共用"),
    "account_outsourced": ("outsourced", "外部委託"),
    "action_request": ("request", "申請"),
    "action_approve": ("approve", "承認"),
    "action_change": ("change", "変更"),
    "action_activate": ("activate", "有効化"),
    "action_suspend": ("suspend", "停止"),
    "action_disable": ("disable", "無効化"),
    "action_remove": ("remove", "削除"),
    "action_review": ("review", "棚卸"),
    "action_reissue": ("reissue", "再発行"),
    "action_issue": ("issue", "発行"),
    "action_adopt": ("adopt", "既存の登録"),
}

TEXTS: dict[str, dict[str, str]] = {
    language: {key: REPORT[language][key] for key in _SHARED} | {key: words[column] for key, words in _OWN.items()}
    for column, language in enumerate(("en", "ja"))
}
"""Language -> key -> words."""
