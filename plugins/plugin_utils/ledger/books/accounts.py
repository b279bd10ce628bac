# SPDX-License-Identifier: GPL-3.0-or-later
"""The account ledger: who has which account, where, with which rights, why, and who said so."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import ANY, Action, Book, Change, Find, Moment, State, Touched, is_same_person, one_line
from ..errors import Problem
from .values import Date, FilledText, Name, Names, Text, sorted_set

LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
"""Login names: what useradd(8) of Debian takes without --badname, and at most the 32 characters of utmp(5)."""

GROUP = LOGIN
"""Names of groups, groupadd(8)."""

SYSTEM_LOGINS = frozenset(
    """root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody _apt
    systemd-network systemd-resolve systemd-timesync systemd-coredump systemd-oom messagebus sshd polkitd avahi
    tcpdump _chrony chrony ntp postfix exim dnsmasq clamav postgres mysql redis tss uuidd rtkit usbmux colord gdm
    gnome-initial-setup speech-dispatcher pulse geoclue saned hplip lightdm syslog statd rpc _rpc libvirt-qemu
    prometheus grafana nagios zabbix haproxy nginx caddy memcache rabbitmq tomcat bind unbound debian-tor stunnel4
    fwupd-refresh usbguard systemd-journal-remote systemd-journal-upload wwwrun awx""".split()  # noqa: SIM905 - as text, one can read it
)
"""Accounts of Debian's base system (base-passwd) and of packages: no person or job may have one."""

KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
"""Types of SSH keys that are taken, sshd(8)."""

RSA_BITS = 3072
"""The shortest RSA key that is taken."""

LIVE = frozenset({"requested", "approved", "active", "suspended", "disabled"})
"""Statuses of accounts that are, or are about to be, somebody's."""

USABLE = frozenset({"requested", "approved", "active"})
"""Statuses of accounts that can be used, or will be."""

PERSONAL = frozenset({"person", "administrator", "operator", "outsourced"})
"""Kinds of which a person has one."""

Status = Literal["requested", "approved", "active", "suspended", "disabled", "removed"]
Kind = Literal["person", "administrator", "operator", "service", "batch", "shared-exception", "outsourced"]


def _login(name: str) -> str:
    if not LOGIN.fullmatch(name):
        raise ValueError("must be a-z, 0-9, _ and -, beginning with a letter or _, at most 32 characters")
    if name in SYSTEM_LOGINS or name.startswith("systemd-"):
        raise ValueError("is the name of a system account")
    return name


def _group(name: str) -> str:
    if not GROUP.fullmatch(name):
        raise ValueError("%r is no group's name: a-z, 0-9, _ and -, at most 32 characters" % name)
    return name


def ssh_key(line: str) -> str:
    """Check one line of an authorized_keys file, sshd(8): a type, the key in base64, and a comment.

    Args:
        line: the line.

    Returns:
        It, with single blanks.

    Raises:
        ValueError: it has options, its type is not taken, or the key is damaged or too short.
    """
    parts = one_line(line).split()
    if len(parts) < 2 or parts[0] not in KEY_TYPES:
        raise ValueError("a key is TYPE BASE64 COMMENT without options, TYPE one of %s" % ", ".join(KEY_TYPES))
    try:
        blob = base64.b64decode(parts[1], validate=True)
        fields = list(_ssh_strings(blob))
    except (binascii.Error, struct.error, ValueError):
        raise ValueError("the key %s... is damaged" % parts[1][:20]) from None
    if not fields or fields[0] != parts[0].encode() or len(fields) < 2:
        raise ValueError("the key %s... is not of type %s" % (parts[1][:20], parts[0]))
    if parts[0] == "ssh-rsa" and (len(fields) < 3 or int.from_bytes(fields[2], "big").bit_length() < RSA_BITS):
        raise ValueError("an RSA key needs at least %d bits" % RSA_BITS)
    return " ".join([*parts[:2], " ".join(parts[2:])]).strip()


def _ssh_strings(blob: bytes) -> Iterator[bytes]:
    """The strings of a key's blob, RFC 4251 section 5."""
    while blob:
        (length,) = struct.unpack_from(">I", blob)
        if length > len(blob) - 4:
            raise ValueError("a string is cut off")
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]


def _age_key(text: str) -> str:
    if text and not re.fullmatch(r"age1[02-9ac-hj-np-z]{58}", text):
        raise ValueError("must be an age recipient, age1 and 58 characters, or nothing")
    return text


Groups = Annotated[list[Annotated[str, pydantic.AfterValidator(_group)]], pydantic.AfterValidator(sorted_set)]
Keys = Annotated[list[Annotated[str, pydantic.AfterValidator(ssh_key)]], pydantic.AfterValidator(sorted_set)]
Login = Annotated[str, pydantic.AfterValidator(_login)]
Shell = Annotated[str, pydantic.StringConstraints(pattern=r"^(/[A-Za-z0-9._+-]+)+$", max_length=128)]


class Account(pydantic.BaseModel):
    """One account.

    Attributes:
        login: its name on the hosts.
        person: who it belongs to; of a job's account, who answers for it.
        department: where that person belongs.
        kind: person, administrator, operator, service, batch, shared-exception or outsourced.
        contractor: of an outsourced person, for whom they work.
        hosts: hosts and groups of hosts on which it is.
        former_hosts: hosts and groups on which it was and is to be no longer.
        groups: its groups there, beside its own.
        sudo: names of the sudo rules that it has there.
        shell: its login shell.
        uid: its user id, the same everywhere; None lets each host choose.
        justification: what it is needed for.
        requester: who asked for it, or for its last change.
        approver: who approved that.
        ticket: the application's number.
        valid_from: the first day.
        valid_until: the last day; None for no end.
        status: requested, approved, active, suspended, disabled or removed.
        status_reason: why it is suspended, disabled or removed.
        documentation: of a job's account, where the job is described.
        exception: why a person has a second account, or more persons share this one.
        ssh_keys: lines of authorized_keys, without options.
        age_key: for sealing passwords to the person; nothing where there is none.
        password: whether it has a password.
        mfa: whether a second factor is asked for.
        active_since: when it last came into use, as ledgers write times.
        issued: host -> when an initial password was set there, as ledgers write times.
        reissued_at: the day of the last reissue of a password.
        reissue_ticket: the application for it.
        identity_check: how the applicant was recognised then.
        reviewed_at: the day of the last review.
        reviewed_by: who reviewed it.
        review_decision: keep, change or remove.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    login: Login
    person: Name
    department: Name
    kind: Kind = "person"
    contractor: Text = ""
    hosts: Annotated[Names, pydantic.Field(min_length=1)]
    former_hosts: Names = []
    groups: Groups = []
    sudo: Names = []
    shell: Shell = "/bin/bash"
    uid: Annotated[int, pydantic.Field(ge=1000, le=59999)] | None = None
    justification: FilledText
    requester: Name
    approver: Text = ""
    ticket: Text = ""
    valid_from: Date
    valid_until: Date | None = None
    status: Status
    status_reason: Text = ""
    documentation: Text = ""
    exception: Text = ""
    ssh_keys: Keys = []
    age_key: Annotated[str, pydantic.AfterValidator(_age_key)] = ""
    password: bool = True
    mfa: bool = False
    active_since: str = ""
    issued: dict[str, str] = {}
    reissued_at: Date | None = None
    reissue_ticket: Text = ""
    identity_check: Text = ""
    reviewed_at: Date | None = None
    reviewed_by: Text = ""
    review_decision: Literal["", "keep", "change", "remove"] = ""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Account:
        if self.valid_until is not None and self.valid_until < self.valid_from:
            raise ValueError("valid_until %s is before valid_from %s" % (self.valid_until, self.valid_from))
        if self.kind == "outsourced" and not (self.contractor and self.valid_until):
            raise ValueError("an outsourced person's account needs contractor and valid_until")
        if self.kind != "outsourced" and self.contractor:
            raise ValueError("contractor is for accounts of kind outsourced")
        if self.kind in ("service", "batch") and not self.documentation:
            raise ValueError("a job's account needs documentation: where the job is described (clause GL-2.1-7)")
        if self.kind == "shared-exception" and not self.exception:
            raise ValueError("a shared account needs exception: why it may be shared (clause ST-7-2)")
        return self


@dataclass(frozen=True)
class AccountContext:
    """What the rules of accounts need to know from outside; None where it is not known.

    Attributes:
        hosts: hosts by group, each host also under its own name.
        sudo_rules: names of the sudo rules that the organisation defines.
        departments: names of its departments.
    """

    hosts: Mapping[str, frozenset[str]] | None = None
    sudo_rules: frozenset[str] | None = None
    departments: frozenset[str] | None = None

    def reach(self, names: Iterable[str]) -> frozenset[str]:
        """The hosts that names of hosts and groups stand for."""
        known = self.hosts or {}
        return frozenset().union(*(known.get(name, frozenset({name})) for name in names))


DESCRIPTION = frozenset(
    """person department kind contractor hosts groups sudo shell uid justification requester valid_from valid_until
    documentation exception ssh_keys age_key password mfa""".split()  # noqa: SIM905 - as text, one can read it
)
"""Fields that an application is about."""

NEEDED = ("person", "department", "hosts", "justification")


class Accounts(Book):
    """The book of accounts."""

    name = "accounts"
    title: ClassVar = {"en": "Account ledger", "ja": "アカウント管理台帳"}
    model = Account
    key = "login"
    imported = "adopt"
    actions: ClassVar = {
        "request": Action(
            before=frozenset({"", "removed"}),
            after="requested",
            fields=DESCRIPTION,
            required=NEEDED,
            done=LIVE,
            clause="SM-4.1.1-1a",
        ),
        "approve": Action(
            before=frozenset({"requested"}),
            after="approved",
            approved=True,
            done=LIVE - {"requested"},
            clause="SM-4.1.1-1a",
        ),
        "change": Action(
            before=frozenset({"approved", "active", "suspended"}),
            after=None,
            fields=DESCRIPTION - {"person"},
            approved=True,
            done=LIVE,
            clause="SM-4.1.2-1",
        ),
        "activate": Action(
            before=frozenset({"approved", "suspended", "disabled"}),
            after="active",
            fields=frozenset({"requester", "valid_until"}),
            done=frozenset({"active"}),
            clause="SM-4.1.1-1a",
        ),
        "suspend": Action(
            before=frozenset({"approved", "active"}),
            after="suspended",
            fields=frozenset({"status_reason"}),
            required=("status_reason",),
            done=frozenset({"suspended"}),
            clause="SM-4.1.3-4",
        ),
        "disable": Action(
            before=frozenset({"requested", "approved", "active", "suspended"}),
            after="disabled",
            fields=frozenset({"status_reason"}),
            required=("status_reason",),
            done=frozenset({"disabled"}),
            clause="SM-4.1.3-1",
        ),
        "remove": Action(
            before=LIVE,
            after="removed",
            fields=frozenset({"status_reason"}),
            required=("status_reason",),
            done=frozenset({"removed"}),
            clause="GL-2.1-2",
        ),
        "review": Action(
            before=LIVE,
            after=None,
            fields=frozenset({"reviewed_at", "reviewed_by", "review_decision"}),
            required=("reviewed_at", "reviewed_by", "review_decision"),
            done=LIVE,
            clause="SO-2.1-user-review-frequency",
        ),
        "reissue": Action(
            before=frozenset({"active"}),
            after=None,
            fields=frozenset({"identity_check", "requester"}),
            required=("identity_check",),
            approved=True,
            done=frozenset({"active"}),
            clause="SM-4.1.6-2",
        ),
        "issue": Action(
            before=frozenset({"active"}),
            after=None,
            fields=frozenset({"issued"}),
            required=("issued",),
            done=frozenset({"active"}),
            clause="SM-4.1.1-3b",
        ),
        "adopt": Action(
            before=frozenset({""}),
            after="active",
            fields=DESCRIPTION | {"issued"},
            required=NEEDED,
            approved=True,
            done=ANY,
            clause="SM-4.1.1-2",
        ),
    }
    headings: ClassVar = {
        "login": ("Login name", "ログイン名"),
        "person": ("Person", "利用者"),
        "department": ("Department", "部署"),
        "kind": ("Kind", "種別"),
        "contractor": ("Contractor", "委託先"),
        "hosts": ("Hosts", "対象ホスト"),
        "former_hosts": ("Former hosts", "旧対象ホスト"),
        "groups": ("Groups", "グループ"),
        "sudo": ("Sudo rules", "sudo権限"),
        "shell": ("Shell", "シェル"),
        "uid": ("User id", "ユーザーID番号"),
        "justification": ("Justification", "利用目的"),
        "requester": ("Requester", "申請者"),
        "approver": ("Approver", "承認者"),
        "ticket": ("Ticket", "申請番号"),
        "valid_from": ("Valid from", "有効開始日"),
        "valid_until": ("Valid until", "有効終了日"),
        "status": ("Status", "状態"),
        "status_reason": ("Reason of status", "状態の理由"),
        "documentation": ("Documentation", "文書"),
        "exception": ("Exception", "例外理由"),
        "ssh_keys": ("SSH keys", "SSH公開鍵"),
        "age_key": ("age key", "age公開鍵"),
        "password": ("Password", "パスワード利用"),
        "mfa": ("Second factor", "多要素認証"),
        "active_since": ("Active since", "利用開始日時"),
        "issued": ("Passwords issued", "初期パスワード発行"),
        "reissued_at": ("Reissued on", "再発行日"),
        "reissue_ticket": ("Ticket of reissue", "再発行申請番号"),
        "identity_check": ("Identity check", "本人確認方法"),
        "reviewed_at": ("Reviewed on", "棚卸日"),
        "reviewed_by": ("Reviewed by", "棚卸実施者"),
        "review_decision": ("Decision of review", "棚卸結果"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who asked and approved, defaults by kind, and what a reissue begins anew."""
        today = moment.today.isoformat()
        fields: dict[str, Any] = {}
        if change.action in ("request", "adopt"):
            fields = self._first_values(change, before, moment)
        if change.action in ("change", "reissue", "activate") and "requester" not in change.payload and change.approver:
            fields["requester"] = moment.actor
        if change.action in ("approve", "change", "adopt") or (change.action == "activate" and change.approver):
            fields.update(approver=change.approver, ticket=change.ticket)
        if change.action in ("activate", "adopt") and before.fields.get("status") != "active":
            fields.update(status_reason="", active_since=moment.at)
        if change.action == "change" and "hosts" in change.payload:
            was = {*before.fields.get("hosts", []), *before.fields.get("former_hosts", [])}
            fields["former_hosts"] = sorted(was - set(change.payload["hosts"]))
        if change.action == "reissue" and before.fields.get("reissue_ticket") != change.ticket:
            fields.update(issued={}, reissued_at=today, reissue_ticket=change.ticket)
        return fields

    def _first_values(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """An application for an account that was removed starts from nothing but what it says itself."""
        fields: dict[str, Any] = {"status_reason": ""}
        known = before.fields if before.fields.get("status") != "removed" else {}
        for name, field in self.model.model_fields.items():
            if not known and name not in change.payload and not field.is_required():
                fields[name] = field.get_default()
        fields["requester"] = change.payload.get("requester") or known.get("requester") or moment.actor
        fields["valid_from"] = change.payload.get("valid_from") or known.get("valid_from") or moment.today.isoformat()
        if "password" not in change.payload:
            fields["password"] = known.get("password", change.payload.get("kind") not in ("service", "batch"))
        if known:
            fields.pop("status_reason")
        else:
            fields["ticket"] = change.ticket
            was = {*before.fields.get("hosts", []), *before.fields.get("former_hosts", [])}
            fields["former_hosts"] = sorted(was - set(change.payload["hosts"]))
        return fields

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Names that must be known, a person's hand in their own account, and times that make no sense."""
        context: AccountContext = moment.context or AccountContext()
        yield from _unknown(change, after, context)
        needs_approver = self.actions[change.action].approved or change.action == "activate"
        if needs_approver and any(is_same_person(change.approver, after[name]) for name in ("person", "login")):
            yield change.problem("approver", change.approver, "nobody approves their own account", "SM-4.1.1-1a")
        if change.action == "activate" and before.fields.get("status") != "approved" and not change.approver:
            yield change.problem("approver", "", "a suspended account comes back only by approval", "SM-4.1.2-1")
        if change.action == "activate" and change.approver and not change.ticket:
            yield change.problem("ticket", "", "an approval has an application's number", "SM-4.1.2-1")
        if change.action == "activate" and is_same_person(change.approver, after["requester"]):
            yield change.problem("approver", change.approver, "nobody approves what they themselves asked for")
        if change.action in ("request", "approve", "activate", "adopt") and _ended(after, moment.today):
            yield change.problem("valid_until", after["valid_until"], "is over already")
        if change.action == "review" and after["reviewed_at"] > moment.today.isoformat():
            yield change.problem("reviewed_at", after["reviewed_at"], "is in the future")
        former = before.fields.get("person")
        if former and former != after["person"] and not after["exception"]:
            reason = "the login name was %s's; say in exception why another person gets it" % former
            yield change.problem("person", after["person"], reason, "ST-7-1")

    def check_together(self, touched: Sequence[Touched], find: Find, moment: Moment) -> Iterable[Problem]:
        """One account a person and host, unless an exception says why."""
        context: AccountContext = moment.context or AccountContext()
        mine = [entry for entry in touched if _is_persons(entry.after) and _moved(entry)]
        if not mine:
            return
        after = {entry.change.key: entry.after for entry in touched}
        persons = sorted({entry.after["person"] for entry in mine})
        known: dict[str, list[dict[str, Any]]] = {}
        others = (state.fields for state in find({"person": persons, "status": sorted(USABLE)}))
        for fields in (*(other for other in others if other["login"] not in after), *after.values()):
            if _is_persons(fields):
                known.setdefault(fields["person"], []).append(fields)
        for entry in mine:
            if not entry.after["exception"]:
                yield from _second_account(entry.change, entry.after, known[entry.after["person"]], context)


def _moved(entry: Touched) -> bool:
    """Whether an account came into use, or came to other hosts or another person."""
    names = ("person", "kind", "hosts", "exception")
    return not (entry.before and _is_persons(entry.before)) or any(entry.before[n] != entry.after[n] for n in names)


def _unknown(change: Change, after: dict[str, Any], context: AccountContext) -> Iterator[Problem]:
    """Names in an application that nothing has."""
    lists = (
        ("hosts", context.hosts, "is no host or group of the inventory", "SM-4.1.1-2"),
        ("sudo", context.sudo_rules, "is none of the rules in accounts_sudo_rules", "SM-4.1.1-1a"),
    )
    for name, known, reason, clause in lists:
        if known is not None and name in change.payload:
            for value in after[name]:
                if value not in known:
                    yield change.problem(name, value, reason, clause)
    department = after["department"]
    if context.departments is not None and "department" in change.payload and department not in context.departments:
        yield change.problem("department", department, "is none of %s" % ", ".join(sorted(context.departments)))


def _ended(fields: Mapping[str, Any], today: datetime.date) -> bool:
    return fields["valid_until"] is not None and fields["valid_until"] < today.isoformat()


def _is_persons(fields: Mapping[str, Any]) -> bool:
    return fields["kind"] in PERSONAL and fields["status"] in USABLE


def _second_account(
    change: Change, fields: dict[str, Any], of_person: list[dict[str, Any]], context: AccountContext
) -> Iterator[Problem]:
    mine = context.reach(fields["hosts"])
    for other in of_person:
        common = mine & context.reach(other["hosts"])
        if other["login"] != fields["login"] and common and not other["exception"]:
            reason = "has %s on %s already; say in exception why a second one is needed" % (
                other["login"],
                ", ".join(sorted(common)[:3]),
            )
            yield change.problem("person", fields["person"], reason, "SM-4.1.1-1a")
            return
