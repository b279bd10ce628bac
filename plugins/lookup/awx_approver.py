# SPDX-License-Identifier: GPL-3.0-or-later
"""Who approved what an AWX workflow waits for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: awx_approver
short_description: Who approved what an AWX workflow waits for
version_added: "0.6.0"
author: Kijun developers
description:
  - Asks AWX who gave the newest approval of the workflow that this job belongs to, so that the ledger and the record
    of a change name that person and not what somebody typed.
  - Fails where nothing was approved, and where the approver is whoever started the workflow. A right in AWX that was
    given by mistake approves nothing by it.
  - Needs a credential for AWX in the job; of AWX's own type for that, with a token that reads.
options:
  _terms:
    description: The number of the workflow's job; not given, what AWX tells each of its jobs (C(awx_workflow_job_id)).
    type: list
    elements: int
requirements:
  - the collection awx.awx
notes:
  - Reads C(/api/v2/workflow_jobs/ID/), C(/api/v2/workflow_jobs/ID/workflow_nodes/) and
    C(/api/v2/workflow_approvals/ID/).
"""

EXAMPLES = r"""
- name: Say who approved it
  ansible.builtin.debug:
    msg: "{{ lookup('kijun.baseline.awx_approver') }}"
"""

RETURN = r"""
_raw:
  description: The login name of who approved, in AWX.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

API = "awx.awx.controller_api"


class LookupModule(LookupBase):
    """Reads the approvals of one workflow."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The login name of who approved."""
        self.set_options(var_options=variables, direct=kwargs)
        given = terms[0] if terms else (variables or {}).get("awx_workflow_job_id")
        number = str(self._templar.template(given)) if given is not None else ""
        if not number.isascii() or not number.isdigit():
            raise AnsibleLookupError(
                "awx_workflow_job_id is %r; it must be the number of a workflow's job, as AWX gives it to each of them"
                " (clause SM-4.1.1-1a)" % number
            )
        workflow = self._read("workflow_jobs/%s/" % number, variables)[0]
        nodes = self._read("workflow_jobs/%s/workflow_nodes/" % number, variables)
        started_by = _user(workflow, "created_by")
        approver = approved_by(
            [
                self._read("workflow_approvals/%d/" % node["summary_fields"]["job"]["id"], variables)[0]
                for node in nodes
                if node.get("summary_fields", {}).get("job", {}).get("type") == "workflow_approval"
            ],
            started_by,
        )
        return [approver]

    def _read(self, address: str, variables: dict[str, Any] | None) -> list[dict[str, Any]]:
        plugin = lookup_loader.get(API, loader=self._loader, templar=self._templar)
        if plugin is None:
            raise AnsibleLookupError("the collection awx.awx is not installed")
        found = plugin.run([address], variables, return_all=True)
        return [item for part in found for item in (part if isinstance(part, list) else [part])]


def _user(item: dict[str, Any], role: str) -> str:
    return str(item.get("summary_fields", {}).get(role, {}).get("username", ""))


def approved_by(approvals: list[dict[str, Any]], started_by: str) -> str:
    """Who gave the newest of some approvals.

    Args:
        approvals: as AWX's API has them.
        started_by: the login name of who started the workflow; empty where nobody did, such as for a schedule.

    Returns:
        The approver's login name.

    Raises:
        AnsibleLookupError: nothing was approved, or by who started it.
    """
    given = sorted(
        (item.get("finished") or "", _user(item, "approved_or_denied_by"))
        for item in approvals
        if item.get("status") == "successful"
    )
    names = [name for _, name in given if name]
    if not names:
        raise AnsibleLookupError("nobody approved this workflow in AWX (clause SM-4.1.1-1a)")
    if started_by.casefold() in [name.casefold() for name in names]:
        raise AnsibleLookupError(
            "%s started this workflow and approved it; another person must approve it (clause SM-4.1.1-1a)" % started_by
        )
    return names[-1]
