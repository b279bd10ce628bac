# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter in force: what it lets in and out, and whether it is what its file says.

Sources: nft(8), libnftables-json(5). The file is read as the kernel reads it: loaded in a network of its own, which
unshare(1) makes and which is gone when it has been listed. So a rule added by hand is found however it is written, and
one that only looks different is not.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections import Counter
from typing import Any

from .host import Host, Settings

Json = dict[str, Any]

FILE = "/etc/nftables.conf"
TABLE = "inet kijun"
ISOLATION = "inet kijun_isolation"
MANAGEMENT = "management"
"""The chain that packets to the management ports go through."""

RECORD = "/var/lib/kijun/firewall/isolation.json"
NFT = "/usr/sbin/nft"
LIST = (NFT, "-j", "-s", "-t", "list", "ruleset")
"""Without counters and without the elements of sets: what changes by itself."""

PASSING = ("handle", "packets", "bytes", "used")
"""Keys of what the kernel counts, and numbers things by."""

KINDS = ("set", "map", "counter", "quota", "limit", "ct helper", "flowtable", "element")
ANYWHERE = "any"
KNOWN = ("established", "related")
SEMANTICS = {"saddr": "sources", "daddr": "destinations", "dport": "ports", "type": "ports"}
"""Field of a packet's header -> what a rule says by it."""


class Ruleset:
    """A ruleset as nft lists it.

    Args:
        text: the output of ``nft -j list ruleset``.

    Attributes:
        tables: names with their families: ``inet kijun``.
        chains: table -> chain -> its description.
        rules: table -> chain -> rules in order.
        objects: table -> sets, counters and the like.
    """

    def __init__(self, text: str) -> None:
        self.tables: list[str] = []
        self.chains: dict[str, dict[str, Json]] = {}
        self.rules: dict[str, dict[str, list[Json]]] = {}
        self.objects: dict[str, list[Json]] = {}
        for entry in json.loads(text)["nftables"] if text.strip() else []:
            for kind, about in entry.items():
                self._enter(kind, about)

    def _enter(self, kind: str, about: Json) -> None:
        about = {key: value for key, value in about.items() if key not in PASSING}
        if kind == "table":
            self.tables.append("%s %s" % (about["family"], about["name"]))
        elif kind == "chain":
            self.chains.setdefault(_table(about), {})[about["name"]] = about
        elif kind == "rule":
            self.rules.setdefault(_table(about), {}).setdefault(about["chain"], []).append(about)
        elif kind in KINDS:
            self.objects.setdefault(_table(about), []).append({"kind": kind, **about})

    def described(self, table: str) -> list[str]:
        """All that a table holds, one line each, rules with their chain and place."""
        found = ["table"] if table in self.tables else []
        for name, chain in self.chains.get(table, {}).items():
            hook = ["%s %s" % (key, chain[key]) for key in ("type", "hook", "prio", "policy") if key in chain]
            found.append("chain %s: %s" % (name, ", ".join(hook)))
        for chain_name, rules in self.rules.get(table, {}).items():
            found += ["chain %s: %s" % (chain_name, rule_text(rule)) for rule in rules]
        for about in self.objects.get(table, []):
            rest = {key: about[key] for key in sorted(about) if key not in ("family", "table", "kind", "name")}
            found.append("%s %s: %s" % (about["kind"], about.get("name", ""), json.dumps(rest, sort_keys=True)))
        return found


def _table(about: Json) -> str:
    return "%s %s" % (about["family"], about["table"])


def rule_text(rule: Json) -> str:
    """A rule in one line, of the same form whatever release of nft listed it."""
    words = [_expression(part) for part in rule["expr"]]
    if rule.get("comment"):
        words.append('comment "%s"' % rule["comment"])
    return " ".join(words)


def _expression(part: Json) -> str:
    (kind, about), *_ = part.items()
    if kind == "match":
        operator = {"==": " ", "in": " "}.get(about["op"], " %s " % about["op"])
        return "%s%s%s" % (_operand(about["left"]), operator, _operand(about["right"]))
    if kind == "limit":
        unit = about.get("rate_unit", "")
        rate = "%s%s/%s" % (about["rate"], " " + unit if unit not in ("", "packets") else "", about["per"])
        return "limit rate %s%s burst %s" % ("over " if about.get("inv") else "", rate, about.get("burst"))
    if kind == "ct count":
        return "ct count %s%s" % ("over " if about.get("inv") else "", about["val"])
    if kind in ("jump", "goto"):
        return "%s %s" % (kind, about["target"])
    if kind == "log" and about:
        return "log prefix %s" % json.dumps(about.get("prefix", ""))
    if kind == "counter":
        return "counter %s" % about if isinstance(about, str) else "counter"
    if kind == "set":
        return _update(about)
    return kind if about is None else "%s %s" % (kind, json.dumps(about, sort_keys=True))


def _update(about: Json) -> str:
    element = about["elem"]
    inner = element.get("elem", element) if isinstance(element, dict) else element
    key = inner.get("val", inner) if isinstance(inner, dict) else inner
    timeout = " timeout %ss" % inner["timeout"] if isinstance(inner, dict) and "timeout" in inner else ""
    limits = "".join(" " + _expression(part) for part in about.get("stmt", []))
    return "%s %s { %s%s%s }" % (about["op"], about["set"], _operand(key), timeout, limits)


def _operand(value: Any) -> str:
    if isinstance(value, dict):
        (kind, about), *_ = value.items()
        if kind == "payload" and "field" in about:
            return "%s %s" % (about["protocol"], about["field"])
        if kind in ("meta", "ct") and set(about) == {"key"}:
            return "%s %s" % (kind, about["key"])
        if kind == "prefix":
            return "%s/%s" % (about["addr"], about["len"])
        if kind == "range":
            return "%s-%s" % tuple(about)
        if kind == "set":
            return "{ %s }" % ", ".join(map(_operand, about))
        return json.dumps(value, sort_keys=True)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


# --- what a chain lets through


def openings(ruleset: Ruleset, chain: str) -> tuple[list[str], list[str]]:
    """What a chain of our table accepts besides the host itself and connections that exist.

    A condition that this does not understand counts as none, so that nothing is taken for narrower than it is.

    Args:
        ruleset: the ruleset.
        chain: ``input`` or ``output``.

    Returns:
        What goes through the chain ``management``, and all else: ``tcp/443 from any``, ``tcp/22 from 192.0.2.0/24``,
        ``udp/53 to 192.0.2.1``; sorted, each once.
    """
    managing: set[str] = set()
    others: set[str] = set()

    def walk(name: str, outer: Json, above: tuple[str, ...]) -> None:
        for rule in ruleset.rules.get(TABLE, {}).get(name, []):
            said: Json = {"protocol": None, "ports": [], "sources": [], "destinations": [], "inside": False, **outer}
            for part in rule["expr"]:
                (kind, about), *_ = part.items()
                if kind == "match":
                    _narrow(said, about)
                elif kind in ("jump", "goto") and about["target"] not in above:
                    walk(about["target"], said, (*above, name))
                elif kind == "accept" and not said["inside"]:
                    (managing if MANAGEMENT in (*above, name) else others).update(_sentences(said, chain == "output"))
                elif kind == "vmap" and "accept" in json.dumps(about):
                    others.add("what a verdict map says: %s" % _operand(about))

    walk(chain, {}, ())
    return sorted(managing), sorted(others)


def _narrow(said: Json, match: Json) -> None:
    """Enter what a match of a rule narrows it to."""
    left, right = match["left"], match["right"]
    if match["op"] not in ("==", "in") or not isinstance(left, dict):
        return
    values = right["set"] if isinstance(right, dict) and "set" in right else right
    values = values if isinstance(values, list) else [values]
    payload, meta, ct = left.get("payload") or {}, left.get("meta") or {}, left.get("ct") or {}
    field = SEMANTICS.get(payload.get("field", ""))
    if field:
        said[field] = values
        if field == "ports":
            said["protocol"] = payload["protocol"]
    elif meta.get("key") == "l4proto" and said["protocol"] is None:
        said["protocol"] = ",".join(map(_operand, values))
    elif meta.get("key") in ("iif", "iifname", "oif", "oifname"):
        said["inside"] = said["inside"] or values == ["lo"]
    elif ct.get("key") == "state":
        said["inside"] = said["inside"] or all(value in KNOWN for value in values)


def _sentences(said: Json, leaving: bool) -> list[str]:
    word, others = ("to", said["destinations"]) if leaving else ("from", said["sources"])
    ports = [_operand(port) for port in said["ports"]] or [ANYWHERE]
    return [
        "%s/%s %s %s" % (said["protocol"] or ANYWHERE, port, word, place) for port in ports for place in places(others)
    ]


def places(values: list[Any]) -> list[str]:
    """Networks in their shortest form, those that together make a larger one as that one; ``any`` for none."""
    networks: dict[int, list[Any]] = {4: [], 6: []}
    strange = []
    for value in values:
        try:
            for network in _networks(value):
                networks[network.version].append(network)
        except ValueError:
            strange.append(_operand(value))
    short = [
        str(network.network_address) if network.num_addresses == 1 else str(network)
        for version in (4, 6)
        for network in ipaddress.collapse_addresses(networks[version])
    ]
    return short + strange or [ANYWHERE]


def _networks(value: Any) -> list[Any]:
    if isinstance(value, dict) and "range" in value:
        return list(ipaddress.summarize_address_range(*map(ipaddress.ip_address, value["range"])))
    return [ipaddress.ip_network(_operand(value))]


# --- the file


def promised(host: Host, path: str = FILE) -> Ruleset:
    """What a file gives when the kernel loads it.

    Args:
        host: the host.
        path: the file.

    Raises:
        OSError: it is missing, or the kernel refuses it.
    """
    script = "%s -f %s && exec %s" % (NFT, path, " ".join(LIST))
    return Ruleset(host.run("unshare", "--net", "sh", "-c", script))


def differences(found: Ruleset, wanted: Ruleset, tables: list[str]) -> list[str]:
    """What is in force and not in the file, and the other way round.

    Args:
        found: in force.
        wanted: what the file gives.
        tables: the tables to compare.
    """
    differing = []
    for table in tables:
        here, there = Counter(found.described(table)), Counter(wanted.described(table))
        differing += ["%s has: %s" % (table, line) for line in (here - there).elements()]
        differing += ["%s lacks: %s" % (table, line) for line in (there - here).elements()]
        if here == there and found.rules.get(table) != wanted.rules.get(table):
            differing.append("%s has its rules in another order" % table)
    return differing


def isolation(host: Host, ruleset: Ruleset) -> str | None:
    """Whether the host is isolated, and by whom, since when and why; None when it is not and nothing says so."""
    events = json.loads(host.read_if_there(RECORD) or "[]")
    last = events[-1] if events else {"isolated": False}
    told = "since %(at)s by %(by)s, ticket %(ticket)s: %(reason)s" % last if last["isolated"] else None
    if ISOLATION in ruleset.tables:
        return "isolated " + (told or "without a record")
    return "recorded as isolated %s; not in force" % told if told else None


def _policy(ruleset: Ruleset, chain: str) -> str | None:
    about = ruleset.chains.get(TABLE, {}).get(chain, {})
    return about.get("policy") if about.get("hook") == chain else None


def _blocked(host: Host) -> list[str]:
    addresses = []
    for name in ("blocked4", "blocked6"):
        for entry in json.loads(host.run(NFT, "-j", "list", "set", *TABLE.split(), name))["nftables"]:
            for element in entry.get("set", {}).get("elem", []):
                addresses.append(_operand(element["elem"]["val"] if "elem" in element else element))
    return addresses


def nftables(host: Host, keys: set[str]) -> Json:
    """Read the ruleset in force with one call of nft(8); hold it against its file when asked."""
    installed = os.path.exists(host.path(NFT))
    found = Ruleset(host.run(*LIST)) if installed else Ruleset("")
    management, accepted = openings(found, "input")
    facts: Json = {
        "present": TABLE in found.tables,
        "accepted": accepted,
        "management": management,
        "accepted_out": openings(found, "output")[1],
        "rules": Settings(
            (rule["comment"], rule_text({"expr": rule["expr"]}))
            for rules in found.rules.get(TABLE, {}).values()
            for rule in rules
            if rule.get("comment")
        ),
        "other_tables": [table for table in found.tables if table not in (TABLE, ISOLATION)],
        "isolation": isolation(host, found),
    }
    facts.update({"%s_policy" % chain: _policy(found, chain) for chain in ("input", "forward", "output")})
    if "differs" in keys:
        facts["differs"] = differences(found, promised(host), [TABLE, ISOLATION]) if installed else ["nft is missing"]
    if "blocked" in keys:
        facts["blocked"] = _blocked(host) if facts["present"] else []
    return facts
