# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the terminals that operations may be done from."""

from __future__ import annotations

DOCUMENTATION = r"""
name: management_terminals
short_description: Addresses of the terminals that operations may be done from
version_added: "0.6.0"
author: Kijun developers
description:
  - Reads the machines of the ledger's book of assets that have a C(terminal_address), and gives the addresses of those
    that are in use and at their baseline by their newest audit. Whatever else is registered is left out, and why is
    told in a warning.
  - Meant for C(firewall_management_networks) and C(ssh_admin_networks). The book is read once in a run.
  - Where the book does not hold, or no terminal is left, it fails, and nothing is changed; nobody is locked out by an
    empty list.
options:
  _terms:
    description: Addresses and networks that are there in any case, such as the controller's own.
    type: list
    elements: str
  reports:
    description:
      - Where audits leave their runs; C(KIJUN_REPORT_DIR), or C(reports). Those in the report store that
        E(KIJUN_REPORT_STORE) names are read as well.
    type: str
  days:
    description: Days that a terminal's audit may be old; V(0) for terminals that are registered and not audited.
    type: int
    default: 7
  severity:
    description: Controls of this severity, and of graver ones, must hold, or be excused.
    type: str
    choices: [critical, high, medium, low]
    default: high
  refused:
    description: Give, instead of addresses, every registered terminal that may not be used, and why.
    type: bool
    default: false
"""

EXAMPLES = r"""
# group_vars/all/access.yml
firewall_management_networks: "{{ query('kijun.baseline.management_terminals', '192.0.2.10') }}"
ssh_admin_networks: "{{ firewall_management_networks }}"
"""

RETURN = r"""
_list:
  description:
    - Addresses in their order; or, with O(refused), the C(asset), C(host), C(address) and C(refused) of each terminal
      that is left out.
  type: list
  elements: raw
"""

import datetime
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ..plugin_utils.ledger_address import ledger_url

display = Display()


class LookupModule(LookupBase):
    """Reads the book, once in a run."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """The addresses, or the terminals that are left out."""
        self.set_options(var_options=variables, direct=kwargs)
        given = (variables or {}).get("kijun_ledger_url")
        url = ledger_url(self._templar.template(given) if given is not None else None)
        reports = self.get_option("reports") or os.environ.get("KIJUN_REPORT_DIR") or "reports"
        asked = {
            "url": url,
            "reports": os.path.abspath(reports),
            "days": self.get_option("days"),
            "severity": self.get_option("severity"),
        }
        if asked["days"] < 0:
            raise AnsibleLookupError("days is %d; it must be at least 0 (clause GL-2.3-3)" % asked["days"])
        found = _once(asked)
        refused = [one for one in found if one["refused"]]
        if self.get_option("refused"):
            return refused
        for one in refused:
            display.warning("terminal %(asset)s (%(host)s, %(address)s) is left out: %(refused)s" % one)
        addresses = [str(term) for term in terms] + sorted(one["address"] for one in found if not one["refused"])
        if not addresses:
            why = "; ".join("%(asset)s: %(refused)s" % one for one in refused) or "none is registered"
            reason = "no terminal may be used for operations (%s), so nothing is changed (clause GL-2.3-1)"
            raise AnsibleLookupError(reason % why)
        return list(dict.fromkeys(addresses))


def _once(asked: dict[str, Any]) -> list[dict[str, str]]:
    """The terminals; what one worker of a run found out, the others take from the run's own temporary directory."""
    name = "management-terminals-%s.json" % hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    path = os.path.join(constants.DEFAULT_LOCAL_TMP, name)
    try:
        with open(path, encoding="utf-8") as file:
            return list(json.load(file))
    except FileNotFoundError:
        found = _read(asked)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=os.path.dirname(path), delete=False) as new:
        json.dump(found, new)
    os.replace(new.name, path)
    return found


def _read(asked: dict[str, Any]) -> list[dict[str, str]]:
    # Not at the top: every worker would pay for the database's library.
    from ..plugin_utils.controls import collection_controls, never_excused
    from ..plugin_utils.ledger.engine import Ledger
    from ..plugin_utils.ledger.errors import LedgerError
    from ..plugin_utils.report.run import host_file
    from ..plugin_utils.report_store import StoreError, configured
    from ..plugin_utils.terminals import Rules, judge, registered

    try:
        with Ledger(asked["url"]) as ledger:
            verification = ledger.verify("assets")
            assets = [state.fields for state in ledger.states("assets")]
    except LedgerError as error:
        raise AnsibleLookupError(
            "which terminals may be used cannot be known, so nothing is done: %s" % error
        ) from None
    if not verification.ok:
        raise AnsibleLookupError("%s; nothing is done" % verification.complaint("the book of assets"))
    rules = Rules(asked["days"], asked["severity"], frozenset(never_excused(collection_controls())))
    now = datetime.datetime.now(datetime.UTC)
    with tempfile.TemporaryDirectory(prefix="kijun-terminals-") as made:
        try:
            store = configured(os.environ) if rules.days else None
            if store:
                files = {host_file(fields["host"]) for fields in registered(assets)}
                # An audit is named by its beginning.
                since = (now - datetime.timedelta(days=rules.days + 1)).date()
                store.fetch_records(sorted(files), since, Path(made))
        except StoreError as error:
            raise AnsibleLookupError(
                "which terminals may be used cannot be known, so nothing is done: %s" % error
            ) from None
        return [one._asdict() for one in judge(assets, (Path(asked["reports"]), Path(made)), rules, now)]
