# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/reference from what stands in the roles, the modules, the fact registry and the clause register."""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import policy, tree

sys.path.insert(0, str(tree.ROOT / "collections"))
from ansible_collections.kijun.baseline.plugins.module_utils.facts import FACTS

COLLECTION = "kijun.baseline"
NOTE = "<!-- Made by `make reference`. Do not edit. -->\n"

STATUSES = {
    "automated": "enforced by its role and audited",
    "detected": "audited; people put it right",
    "recorded": "kept in a ledger",
    "reported": "shown in a scheduled report",
    "attested": "confirmed by a named person by a due date",
    "pending": "planned",
    "not_applicable": "does not apply",
}

DISRUPTIONS = {
    "none": "Applying it interrupts nothing.",
    "session": "Applying it can end sessions or refuse new ones for a moment.",
    "reboot": "It takes effect at the next start of the host.",
}

OPTING_OUT = """\
exception_entries:
  - id: EXC-2026-014
    action: file
    control: {identifier}
    hosts: [app1.example.com]
    reason: why it cannot be kept there
    measure: what is done instead
    valid_until: "2030-12-31"
    requester: REQUESTER
    ticket: REQ-1042
  - {{id: EXC-2026-014, action: approve, approver: APPROVER, ticket: REQ-1042}}
"""


def pages(root: Path = tree.ROOT) -> dict[str, str]:
    """Every page of the reference.

    Args:
        root: the checkout.

    Returns:
        Path below docs/reference -> text.

    Raises:
        subprocess.CalledProcessError: ansible-doc could not read a plugin.
    """
    clauses, proofs = tree.register(root), tree.proofs(root)
    made = {"index.md": _index(root, clauses), "facts.md": _facts()}
    for role in tree.roles(root):
        made[f"roles/{role.name}.md"] = _role(role)
        for control in role.controls:
            made[f"controls/{control['id']}.md"] = _control(role, control, clauses, proofs.get(control["id"], []))
    for name, documentation in plugin_docs("module", root).items():
        made[f"modules/{name.rpartition('.')[2]}.md"] = _module(name, documentation)
    return made


@functools.cache
def plugin_docs(kind: str, root: Path = tree.ROOT) -> dict[str, Any]:
    """What ansible-doc says of the collection's plugins of one kind.

    Args:
        kind: ``module`` or ``callback``, the type's name for ansible-doc.
        root: the checkout.

    Returns:
        FQCN -> ``doc``, ``examples``, ``return``.

    Raises:
        subprocess.CalledProcessError: ansible-doc failed; its error output is shown.
    """
    folder = "modules" if kind == "module" else kind
    names = [f"{COLLECTION}.{file.stem}" for file in sorted((root / "plugins" / folder).glob("*.py"))]
    if not names:
        return {}
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", kind, *names]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg")}
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _text(value: str | list[str]) -> str:
    """Ansible's documentation text, which may be one paragraph or several, as one, its markup as Markdown's."""
    text = value if isinstance(value, str) else " ".join(value)
    text = re.sub(r"\b(?:C|E|M|O|P|RV|V)\((?:ignore:)?([^()#]*)(?:#\w+)?\)", r"`\1`", text)
    return re.sub(r"\bI\(([^()]*)\)", r"*\1*", re.sub(r"\bB\(([^()]*)\)", r"**\1**", text))


def _code(value: Any) -> str:
    """A value as inline code of a table's cell, on one line."""
    plain = isinstance(value, str) and value == value.strip() != ""
    shown = value if plain else json.dumps(value, ensure_ascii=False)
    return "`" + " ".join(shown.split()).replace("|", "\\|") + "`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |\n" for line in lines)


def _index(root: Path, clauses: dict[str, dict[str, Any]]) -> str:
    """The list of controls by area, with counts, and of pending clauses."""
    all_controls = tree.controls(root)
    counts = Counter(control["status"] for control in all_controls)
    pending = policy.pending(root)
    text = f"# Controls\n\n{NOTE}\n{policy.summary(root)}.\n\n"
    text += _table(
        ["Status", "Meaning", "Controls"], [[f"`{s}`", meaning, str(counts[s])] for s, meaning in STATUSES.items()]
    )
    for area in sorted({control["area"] for control in all_controls}):
        rows = [
            [
                f"[{c['id']}](controls/{c['id']}.md)",
                f"{c['title']['en']}<br>{c['title']['ja']}",
                c["severity"],
                ", ".join(c["scope"]),
                f"`{c['status']}`",
            ]
            for c in all_controls
            if c["area"] == area
        ]
        text += f"\n## {area}\n\n" + _table(["Control", "Title", "Severity", "Scope", "Status"], rows)
    text += "\n## Clauses that no control claims yet\n\n"
    for area, waiting in pending.items():
        text += f"### {area} ({len(waiting)})\n\n"
        text += "".join(f"- `{identifier}` {clauses[identifier]['title']}\n" for identifier in waiting) + "\n"
    return text.rstrip("\n") + "\n"


def _control(role: tree.Role, control: dict[str, Any], clauses: dict[str, dict[str, Any]], proofs: list[str]) -> str:
    """A control's page."""
    status = control["status"]
    text = f"# {control['id']}: {control['title']['en']}\n\n{NOTE}\n**{control['title']['ja']}**\n\n"
    text += _table(
        ["Area", "Severity", "Scope", "Status"],
        [[control["area"], control["severity"], ", ".join(control["scope"]), f"`{status}` ({STATUSES[status]})"]],
    )
    if "reason" in control:
        text += f"\n{control['reason'].strip()}\n"
    text += "\n## Clauses\n\n" + "".join(_clause(clauses[identifier]) for identifier in control["clauses"])
    text += _expectations(control)
    text += f"\n## How it is enforced\n\nBy the role [`{COLLECTION}.{role.name}`](../roles/{role.name}.md). "
    text += f"{DISRUPTIONS[control['disruption']]}\n"
    text += _opting_out(control)
    text += "\n## Proof\n\n" + ("".join(f"- `{proof}`\n" for proof in proofs) or "No test on a host proves it.\n")
    return text


def _clause(clause: dict[str, Any]) -> str:
    """A clause as an item of a list."""
    value = f" ({clause['value']})" if "value" in clause else ""
    return f"- `{clause['id']}` {clause['title']}{value}\n"


def _expectations(control: dict[str, Any]) -> str:
    """What a control expects of a host, as it stands in the role: expressions are the inventory's to fill in."""
    if not control.get("expect"):
        return ""
    rows = []
    for expectation in control["expect"]:
        operator = ("each " if expectation.get("each") else "") + str(expectation["op"])
        value = _code(expectation["value"]) if "value" in expectation else ""
        if expectation.get("except"):
            value += f" except {_code(expectation['except'])}"
        rows.append([_code(expectation["fact"]), _code(operator), value])
    text = "\n## What is expected of the host\n\n" + _table(["Fact", "Operator", "Value"], rows)
    if "applies" in control:
        text += f"\nAsked only where {_code(control['applies'])} is true.\n"
    if "applies_where" in control:
        rows = [
            [_code(e["fact"]), _code(str(e["op"])), _code(e["value"]) if "value" in e else ""]
            for e in control["applies_where"]
        ]
        text += "\nAsked only where the host is such:\n\n" + _table(["Fact", "Operator", "Value"], rows)
    if "deviation" in control:
        text += (
            "\nThe control fails, whatever the host is like, where the settings themselves depart from the clauses: "
        )
        text += f"{_code(control['deviation'])}.\n"
    if control.get("sensitive"):
        text += "\nWhat was found is never shown.\n"
    return text


def _opting_out(control: dict[str, Any]) -> str:
    """How an operator excuses a host from a control."""
    if "never_excused" in control:
        return f"\n## How to opt out\n\nNot at all: {control['never_excused']}.\n"
    return (
        "\n## How to opt out\n\nBy an [exception](../../exceptions.md) that is approved and ends, for hosts and "
        "groups; the roles then leave them alone there, and the audit says *excused*, and *failed* again after that "
        "day. `playbooks/exceptions.yml` enters it:\n\n"
        f"```yaml\n{OPTING_OUT.format(identifier=control['id'])}```\n"
    )


def _options(options: dict[str, dict[str, Any]]) -> str:
    """A table of options: of a role, or of a module."""
    return _table(["Name", "Type", "Default", "Meaning"], _option_rows(options, ""))


def _option_rows(options: dict[str, dict[str, Any]], prefix: str) -> list[list[str]]:
    """The rows of options, each followed by its members where it is a dict or a list of dicts."""
    rows = []
    for name, option in options.items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
        about = _text(option.get("description", ""))
        if option.get("choices"):
            about += " One of " + ", ".join(_code(choice) for choice in option["choices"]) + "."
        default = "required" if option.get("required") else _code(option["default"]) if "default" in option else ""
        rows.append([f"`{prefix}{name}`", kind, default, about])
        members = option.get("suboptions") or option.get("options") or {}
        rows += _option_rows(members, f"{prefix}{name}{'[]' if option.get('type') == 'list' else ''}.")
    return rows


def _role(role: tree.Role) -> str:
    """A role's page."""
    defaults = role.defaults()
    options = {
        name: {**option, **({"default": defaults[name]} if name in defaults else {})}
        for name, option in role.options().items()
    }
    rows = [[f"[{c['id']}](../controls/{c['id']}.md)", c["title"]["en"], f"`{c['status']}`"] for c in role.controls]
    return (
        f"# Role {COLLECTION}.{role.name}\n\n{NOTE}\n{role.summary()}\n\n## Variables\n\n{_options(options)}"
        f"\n## Controls\n\n{_table(['Control', 'Title', 'Status'], rows)}"
    )


def _module(name: str, documentation: dict[str, Any]) -> str:
    """A module's page."""
    doc = documentation["doc"]
    text = f"# Module {name}\n\n{NOTE}\n{doc['short_description']}\n\n"
    text += "".join(f"{_text(paragraph)}\n\n" for paragraph in doc["description"])
    if doc.get("options"):
        text += f"## Options\n\n{_options(doc['options'])}\n"
    if documentation.get("examples"):
        text += f"## Examples\n\n```yaml\n{documentation['examples'].strip()}\n```\n\n"
    if documentation.get("return"):
        rows = [
            [f"`{key}`", value.get("type", ""), value.get("returned", ""), _text(value.get("description", ""))]
            for key, value in documentation["return"].items()
        ]
        text += "## Return values\n\n" + _table(["Name", "Type", "Returned", "Meaning"], rows)
    return text.rstrip("\n") + "\n"


def _facts() -> str:
    """The page of facts that a control may name."""
    text = f"# Facts\n\n{NOTE}\nWhat a control's expectation may name. `*` stands for any one segment; "
    text += "a segment that holds dots or slashes is written in brackets: `files[/etc/shadow].mode`.\n"
    for name, fact in FACTS.items():
        rows = [[f"`{name}.{path}`", meaning] for path, meaning in fact.paths.items()]
        text += f"\n## {name}\n\n{fact.about}\n\n" + _table(["Path", "What it holds"], rows)
    return text


def differences(root: Path = tree.ROOT) -> list[str]:
    """How docs/reference differs from what would be made now.

    Returns:
        One line for each page that is missing, changed, or made by nothing any more.
    """
    folder, made = root / "docs" / "reference", pages(root)
    there = {str(file.relative_to(folder)): file for file in folder.rglob("*.md")}
    lines = [f"{page}: missing" for page in made if page not in there]
    lines += [f"{page}: left over" for page in there if page not in made]
    lines += [
        f"{page}: out of date"
        for page in made
        if page in there and there[page].read_text(encoding="utf-8") != made[page]
    ]
    return sorted(lines)


def write(root: Path = tree.ROOT) -> None:
    """Write every page, and remove those that nothing makes any more."""
    folder, made = root / "docs" / "reference", pages(root)
    for page, text in made.items():
        file = folder / page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in folder.rglob("*.md"):
        if str(file.relative_to(folder)) not in made:
            file.unlink()
    print(f"docs/reference: {len(made)} pages")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``tools/reference``."""
    parser = argparse.ArgumentParser(prog="tools/reference", description="Write docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    wrong = differences()
    for line in wrong:
        print(line)
    if wrong:
        print("docs/reference is out of date: run `make reference`", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
