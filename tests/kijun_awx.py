# SPDX-License-Identifier: GPL-3.0-or-later
"""A store with the addresses and forms of AWX's API, for what the collection awx.awx asks of it.

It is no AWX: it runs no job, checks no right and expands no schedule. It keeps objects as AWX 24.6 documents them, so
that tests see what our configuration makes there, and that a second run changes nothing.
"""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-for-the-store"

WORKFLOW = 17
"""The number of a workflow's job; see `Store.approve`."""

Run = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a playbook as a job: its name, who started it, the survey's answers, and what AWX tells it."""

LINKS = {
    "job_templates": ("survey_spec", "credentials", "labels", "notification_templates_error"),
    "workflow_job_templates": (
        "survey_spec",
        "labels",
        "workflow_nodes",
        "notification_templates_error",
        "notification_templates_approvals",
    ),
    "workflow_job_template_nodes": (
        "success_nodes",
        "failure_nodes",
        "always_nodes",
        "credentials",
        "create_approval_template",
    ),
    "teams": ("roles",),
    "schedules": ("credentials", "labels", "instance_groups"),
}
"""Kind of object -> what else it has an address for."""

OBJECT_ROLES = ("execute_role", "approval_role", "use_role", "auditor_role", "admin_role", "read_role")
TEMPLATES = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")
"""What a schedule or a step of a workflow can run."""

BUILT_IN_TYPES = ("Machine", "Vault", "GPG Public Key", "Red Hat Ansible Automation Platform")
TYPE_OF = {"projects": "project", "inventories": "inventory"}


class Store:
    """The objects, and the server that gives them out on loopback.

    Attributes:
        objects: kind -> number -> object.
        linked: (kind, number, name) -> numbers of what is associated.
        surveys: (kind, number) -> survey.
        writes: what was asked that changes something, as method and address.
        answers: address below /api/v2/ -> what is answered there, beside the objects.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, dict[str, Any]]] = {}
        self.linked: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], dict[str, Any]] = {}
        self.writes: list[str] = []
        self.answers: dict[str, Any] = {}
        self._last = 0
        for name in BUILT_IN_TYPES:
            self.add("credential_types", {"name": name, "managed": True})
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length) if length else b""
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status, answer = 401, {"detail": "Authentication credentials were not provided."}
                else:
                    status, answer = store.serve(self.command, self.path, json.loads(text) if text else {})
                content = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", "24.6.1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Serve no longer."""
        self.server.shutdown()
        self.server.server_close()

    def add(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Keep a new object.

        Args:
            kind: as its address has it, such as job_templates.
            fields: what it is made with.
        """
        self._last += 1
        number = self._last
        address = f"/api/v2/{kind}/{number}/"
        related = {name: f"{address}{name}/" for name in LINKS.get(kind, ())}
        roles = {
            role: {"id": number * 100 + place, "name": role.removesuffix("_role").title()}
            for place, role in enumerate(OBJECT_ROLES)
        }
        made = {
            "id": number,
            "type": TYPE_OF.get(kind, kind.removesuffix("s")),
            "url": address,
            "related": related,
            "summary_fields": {"object_roles": roles},
            "description": "",
            **fields,
        }
        if kind == "credentials":
            # AWX shows nobody what a secret is.
            made["inputs"] = dict.fromkeys(fields.get("inputs", {}), "$encrypted$")
        if kind == "projects":
            made |= {"status": "successful", "scm_revision": "0" * 40}
        self.objects.setdefault(kind, {})[number] = made
        return made

    def approve(self, started: str, *approvers: str) -> None:
        """Have the workflow `WORKFLOW` started by one and approved by others.

        Args:
            started: who started it.
            approvers: who approved it, one after the other.
        """
        path = f"workflow_jobs/{WORKFLOW}"
        by = {"created_by": {"username": started}}
        self.answers[path] = {"id": WORKFLOW, "type": "workflow_job", "summary_fields": by}
        nodes = [{"id": 1, "summary_fields": {"job": {"id": 21, "type": "job"}}}]
        for number, name in enumerate(approvers, 31):
            nodes.append({"id": number, "summary_fields": {"job": {"id": number, "type": "workflow_approval"}}})
            self.answers[f"workflow_approvals/{number}"] = {
                "id": number,
                "type": "workflow_approval",
                "status": "successful",
                "finished": f"2026-11-20T01:00:{number}Z",
                "summary_fields": {"approved_or_denied_by": {"username": name}},
            }
        found = {"count": len(nodes), "next": None, "previous": None, "results": nodes}
        self.answers[f"{path}/workflow_nodes"] = found

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind, by name (steps of workflows: by identifier)."""
        return {item.get("name") or item["identifier"]: item for item in self.objects.get(kind, {}).values()}

    def serve(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer one request with a status and what is told."""
        parts = urlsplit(path)
        words = [word for word in parts.path.split("/") if word][2:]
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if method != "GET":
            self.writes.append(f"{method} {'/'.join(words)}")
        if "/".join(words) in self.answers:
            return 200, self.answers["/".join(words)]
        if not words or words == ["ping"]:
            return 200, {"version": "24.6.1"}
        kind, number = words[0], int(words[1]) if len(words) > 1 and words[1].isdigit() else None
        if number is None:
            if method == "POST":
                if wrong := self._wrong(kind, body):
                    return 400, wrong
                return 201, self.add(kind, body)
            return 200, self._list([item for item in self._all(kind) if self._fits(kind, item, asked)])
        # A role is no object of its own here: it is known by who has it.
        item = {"id": number} if kind == "roles" else self.objects.get(kind, {}).get(number)
        if item is None:
            return 404, {"detail": "Not found."}
        if len(words) > 2:
            return self._linked(method, kind, item, words[2], body)
        if method == "DELETE":
            del self.objects[kind][number]
            return 204, None
        if method == "PATCH":
            item.update(body)
        return 200, item

    def _wrong(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """What AWX says to an object that it does not take; of its rules those that were come upon."""
        credential = self.objects.get("credentials", {}).get(body.get("credential", 0), {})
        type_of = self.objects["credential_types"].get(credential.get("credential_type", 0), {})
        if kind == "inventory_sources" and body.get("source") == "scm" and type_of.get("name") == "Vault":
            return {"credential": ["Credentials of type insights and vault are disallowed for scm inventory sources."]}
        if kind == "schedules" and "INTERVAL" not in body["rrule"]:
            return {"rrule": ["INTERVAL required in rrule"]}
        return {}

    def _all(self, kind: str) -> list[dict[str, Any]]:
        kinds = TEMPLATES if kind == "unified_job_templates" else (kind,)
        return [item for one in kinds for item in self.objects.get(one, {}).values()]

    def _fits(self, kind: str, item: dict[str, Any], asked: dict[str, str]) -> bool:
        for name, value in asked.items():
            if name in ("page_size", "order_by", "page"):
                continue
            if name == "labels__name":
                labels = self.linked.get((kind, item["id"], "labels"), [])
                if value not in [self.objects["labels"][number]["name"] for number in labels]:
                    return False
            elif name in ("organization__name", "unified_job_template__organization__name"):
                of = item
                if name.startswith("unified_job_template"):
                    of = next(
                        (one for one in self._all("unified_job_templates") if one["id"] == item.get(name[:20])), {}
                    )
                if self.objects.get("organizations", {}).get(of.get("organization", 0), {}).get("name") != value:
                    return False
            elif name.endswith("__endswith"):
                if not str(item.get(name.removesuffix("__endswith"), "")).endswith(value):
                    return False
            elif re.fullmatch(r"or__.*|not__.*", name):
                raise ValueError(f"{name} is not known here")
            elif name in item and str(item[name]) != value:
                return False
        return True

    @staticmethod
    def _list(found: list[dict[str, Any]]) -> dict[str, Any]:
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _linked(self, method: str, kind: str, item: dict[str, Any], name: str, body: dict[str, Any]) -> tuple[int, Any]:
        key = (kind, item["id"], name)
        if name == "survey_spec":
            if method == "POST":
                for question in body["spec"]:
                    if question["choices"] and question["default"] not in ("", *question["choices"]):
                        return 400, {"error": "Default choice must be answered from the choices listed."}
                self.surveys[key[:2]] = body
            return 200, self.surveys.get(key[:2], {})
        if name == "create_approval_template":
            made = self.add("workflow_approval_templates", body)
            item["unified_job_template"] = made["id"]
            item["related"]["unified_job_template"] = made["url"]
            return 201, made
        if name == "workflow_nodes":
            nodes = self.objects.get("workflow_job_template_nodes", {}).values()
            return 200, self._list([node for node in nodes if node["workflow_job_template"] == item["id"]])
        numbers = self.linked.setdefault(key, [])
        if method == "POST":
            if body.get("disassociate"):
                numbers.remove(body["id"])
            elif body["id"] not in numbers:
                numbers.append(body["id"])
            return 204, None
        there = {one["id"]: one for objects in self.objects.values() for one in objects.values()}
        return 200, self._list([there.get(number, {"id": number}) for number in numbers])
