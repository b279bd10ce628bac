# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions on ledgers have in common: which ledger, who acts, what the inventory and the organisation know."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from .actor import VARIABLES, actor
from .controls import collection_controls, lists_in_sight, never_excused
from .ledger import checkpoints
from .ledger.books.accounts import AccountContext
from .ledger.books.assets import AssetContext
from .ledger.books.exceptions import ExceptionContext
from .ledger.books.media import MediaContext
from .ledger.engine import Ledger
from .ledger.errors import LedgerError
from .ledger_address import ledger_url
from .limits import complaints, role_limits

SYSLOG_SOCKET = "/dev/log"

URL_ARGUMENT = {"url": {"type": "str", "no_log": True}}
CHANGE_ARGUMENTS = {**URL_ARGUMENT, "actor": {"type": "str"}}
"""Arguments of every action on a ledger, and of those that write to it."""

APPROVALS = ("entries", "awx")
"""What kijun_ledger_approvals may be: who approves stands in the entry, or is who approved the workflow in AWX."""

EXCEPTION_LIMITS: dict[str, dict[str, Any]] = {
    "kijun_exceptions_committee": {"type": "people", "clause": "SM-6-1"},
    "kijun_exceptions_max_days": {"type": "int", "min": 1, "max": 1830, "clause": "SM-6-1"},
}
"""What the variables about exceptions may be."""

MEDIA_LIMITS: dict[str, dict[str, Any]] = {
    "kijun_media_managers": {"type": "people", "clause": "ST-14-1"},
    "kijun_media_max_days": {"type": "int", "min": 1, "max": 366, "clause": "GL-2.4-0b"},
}
"""What the variables about recording media may be."""


class LedgerAction(ActionBase):
    """An action that works on the controller, beside whatever host it is run for."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def arguments(self, specification: dict[str, Any], **checks: Any) -> dict[str, Any]:
        """The task's arguments, checked.

        Args:
            specification: Ansible's argument specification.
            checks: its further rules, such as mutually_exclusive.

        Raises:
            AnsibleActionFail: they are not of that form.
        """
        _, arguments = self.validate_argument_spec(specification, **checks)
        return dict(arguments)

    def variable(self, variables: Mapping[str, Any], name: str, default: Any) -> Any:
        """An inventory's variable, templated; the default where it is not set.

        Args:
            variables: the task's variables.
            name: its name.
            default: what holds without it.
        """
        return self._templar.template(variables[name]) if variables.get(name) is not None else default

    @staticmethod
    def today() -> datetime.date:
        """The date where the controller is."""
        return datetime.datetime.now().astimezone().date()

    def url(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
        """The ledger's address: the task's, the variable's, the environment's, or the default."""
        return ledger_url(arguments.get("url") or self.variable(variables, "kijun_ledger_url", None))

    def actor(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
        """Who acts: whom the task names, who started the job in AWX, or whoever is logged in on the controller."""
        return actor(arguments.get("actor"), *(self.variable(variables, name, None) for name in VARIABLES))

    def context(self, variables: Mapping[str, Any], book: str = "accounts") -> Any:
        """What the rules of a book need to know from the inventory and from the organisation's lists.

        Args:
            variables: the task's.
            book: the book.

        Raises:
            AnsibleActionFail: a variable that says it is not what it may be.
        """
        makers = {
            "accounts": self._account_context,
            "assets": lambda known: AssetContext(self._committee(known)),
            "exceptions": self._exception_context,
            "media": self._media_context,
        }
        return makers[book](variables) if book in makers else None

    def check_settings(self, variables: Mapping[str, Any], role: str) -> None:
        """Hold a role's variables against its limits, where the role is in sight.

        Args:
            variables: the task's.
            role: the role.

        Raises:
            AnsibleActionFail: one is not what it may be.
        """
        if "%s_controls" % role not in variables:
            return
        limits = self._templar.template(role_limits(role))
        values = {name: self.variable(variables, name, None) for name in limits}
        known = {name: limits[name] for name in limits if values[name] is not None}
        # What a form leaves empty is there, and is nothing.
        said = [name for name in variables if name not in limits or name in known]
        wrong = complaints(role, known, values, said)
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))

    def _account_context(self, variables: Mapping[str, Any]) -> AccountContext:
        groups = {name: frozenset(hosts) for name, hosts in variables.get("groups", {}).items()}
        hosts = {host: frozenset({host}) for host in groups.get("all", ())}
        rules = self.variable(variables, "accounts_sudo_rules", {})
        departments = self.variable(variables, "accounts_departments", {})
        return AccountContext(
            hosts={**groups, **hosts},
            sudo_rules=frozenset(rules),
            departments=frozenset(departments) or None,
        )

    def _committee(self, variables: Mapping[str, Any]) -> tuple[str, ...]:
        """Who decides on exceptions, and on what a contractor disposes of."""
        return tuple(self._exception_settings(variables)["committee"])

    def _exception_settings(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return self._given("exceptions", EXCEPTION_LIMITS, {"committee": [], "max_days": 365}, variables)

    def _exception_context(self, variables: Mapping[str, Any]) -> ExceptionContext:
        given = self._exception_settings(variables)
        return ExceptionContext(
            hosts=_hosts_and_groups(variables),
            controls=never_excused([*collection_controls(), *self._own_controls(variables)]),
            committee=tuple(given["committee"]),
            max_days=int(given["max_days"]),
        )

    def _media_context(self, variables: Mapping[str, Any]) -> MediaContext:
        given = self._given("media", MEDIA_LIMITS, {"managers": [], "max_days": 31}, variables)
        return MediaContext(
            hosts=_hosts_and_groups(variables),
            managers=tuple(given["managers"]),
            max_days=int(given["max_days"]),
            committee=self._committee(variables),
        )

    def _approver(self, variables: Mapping[str, Any]) -> Callable[[], str] | None:
        """What says who approved an entry, where that is not the entry itself.

        Args:
            variables: the task's.

        Raises:
            AnsibleActionFail: kijun_ledger_approvals is not what it may be.
        """
        given = self.variable(variables, "kijun_ledger_approvals", "entries")
        if given not in APPROVALS:
            reason = "must be one of: %s (clause SM-4.1.1-1a)" % ", ".join(APPROVALS)
            raise AnsibleActionFail("kijun_ledger_approvals is %r: %s" % (given, reason))
        return None if given == "entries" else lambda: self._approved_in_awx(variables)

    def _approved_in_awx(self, variables: Mapping[str, Any]) -> str:
        if variables.get("awx_workflow_job_id") is None:
            return ""
        lookup = lookup_loader.get("kijun.baseline.awx_approver", loader=self._loader, templar=self._templar)
        return str(lookup.run([], dict(variables))[0])

    def _given(
        self, about: str, limits: dict[str, dict[str, Any]], defaults: dict[str, Any], variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The variables ``kijun_ABOUT_NAME``, by name.

        Args:
            about: what they are about.
            limits: what they may be.
            defaults: name -> what holds where the variable is not set.
            variables: the task's.

        Raises:
            AnsibleActionFail: one is not what it may be, or has a name that is nearly one of these.
        """
        prefix = "kijun_" + about
        given = {name: self.variable(variables, "%s_%s" % (prefix, name), value) for name, value in defaults.items()}
        present = [name for name in variables if name != "kijun_exceptions_in_force"]
        wrong = complaints(prefix, limits, {"%s_%s" % (prefix, name): value for name, value in given.items()}, present)
        if wrong:
            raise AnsibleActionFail("; ".join(wrong).replace("of role %s" % prefix, "about %s" % about))
        return given

    def _own_controls(self, variables: Mapping[str, Any]) -> list[Any]:
        """The organisation's own controls: those of the inventory, of whatever host."""
        known = variables.get("hostvars", {})
        hosts = [known.raw_get(name) for name in known] if hasattr(known, "raw_get") else []
        return lists_in_sight([variables, *hosts], self._templar.template)

    @contextmanager
    def ledger(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[Ledger]:
        """The ledger; what it complains about becomes the task's error.

        Args:
            arguments: the task's.
            variables: the task's.
        """
        try:
            with Ledger(self.url(arguments, variables), approver=self._approver(variables)) as ledger:
                yield ledger
        except LedgerError as error:
            raise AnsibleActionFail(str(error)) from None

    def tell_checkpoint(self, ledger: Ledger, book: str, variables: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Tell a book's checkpoint to the places that the operator names, after something was written.

        Args:
            ledger: the ledger.
            book: the book.
            variables: the task's; kijun_ledger_checkpoint_file and kijun_ledger_syslog name the places.
            result: the task's result, which gets the checkpoint.
        """
        path = self.variable(variables, "kijun_ledger_checkpoint_file", os.environ.get("KIJUN_LEDGER_CHECKPOINTS"))
        to_syslog = bool(self.variable(variables, "kijun_ledger_syslog", os.path.exists(SYSLOG_SOCKET)))
        checkpoint = ledger.checkpoint(book)
        checkpoints.emit(checkpoint, path or None, to_syslog)
        result["checkpoint"] = {"book": book, "count": checkpoint.count, "head": checkpoint.head, "at": checkpoint.at}


def _hosts_and_groups(variables: Mapping[str, Any]) -> frozenset[str]:
    """The names of the inventory."""
    groups = variables.get("groups", {})
    return frozenset(groups) | frozenset(groups.get("all", ()))


def plain(value: Any) -> Any:
    """What Ansible hands over, as plain types.

    Args:
        value: text, numbers, mappings and sequences of them, perhaps with Ansible's tags.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    return [plain(item) for item in value] if isinstance(value, Sequence) else value
