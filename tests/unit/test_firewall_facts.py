# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter's facts and filters, from what nft of Debian 12 (1.0.6) and 13 (1.1.3) really prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.filter.firewall import networks
from ansible_collections.kijun.baseline.plugins.filter.firewall import openings as promised_openings
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.nftables import (
    ISOLATION,
    RECORD,
    TABLE,
    Ruleset,
    differences,
    isolation,
    nftables,
    openings,
    places,
    rule_text,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import shut_out, within

Json = dict[str, Any]

ACCEPT: Json = {"accept": None}


def match(protocol: str, field: str, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def state(*values: str) -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": list(values)}}


def meta(key: str, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def jump(target: str, kind: str = "goto") -> Json:
    return {kind: {"target": target}}


def ruleset(**chains: list[list[Json]]) -> Ruleset:
    """Kijun's table with some chains, each a list of rules, each a list of expressions."""
    entries: list[Json] = [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": "inet", "name": "kijun"}}]
    for name, rules in chains.items():
        about = {"family": "inet", "table": "kijun", "name": name, "handle": 7}
        hook = {"type": "filter", "hook": name, "prio": 0, "policy": "drop"} if name in ("input", "output") else {}
        entries.append({"chain": {**about, **hook}})
        for number, rule in enumerate(rules):
            entries.append({"rule": {**about, "chain": name, "handle": number, "expr": rule}})
    return Ruleset(json.dumps({"nftables": entries}))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ([match("tcp", "dport", 443), ACCEPT], ["tcp/443 from any"]),
        (
            [match("tcp", "dport", {"set": [80, {"range": [6000, 6010]}]}), ACCEPT],
            ["tcp/6000-6010 from any", "tcp/80 from any"],
        ),
        (
            [
                match(
                    "ip",
                    "saddr",
                    {
                        "set": [
                            {"prefix": {"addr": "192.0.2.0", "len": 25}},
                            {"prefix": {"addr": "192.0.2.128", "len": 25}},
                        ]
                    },
                ),
                match("udp", "dport", 53),
                ACCEPT,
            ],
            ["udp/53 from 192.0.2.0/24"],
        ),
        ([match("ip6", "saddr", "2001:db8::1"), match("tcp", "dport", 22), ACCEPT], ["tcp/22 from 2001:db8::1"]),
        ([meta("iif", "lo"), ACCEPT], []),
        ([state("established", "related"), ACCEPT], []),
        ([match("tcp", "dport", 1), {"drop": None}], []),
        ([match("icmp", "type", "echo-request"), {"limit": {"rate": 1}}, ACCEPT], ["icmp/echo-request from any"]),
        # What opens more than it seems to.
        ([ACCEPT], ["any/any from any"]),
        ([state("new", "established"), ACCEPT], ["any/any from any"]),
        ([meta("iif", "lo", "!="), ACCEPT], ["any/any from any"]),
        ([meta("iifname", {"set": ["lo", "eth0"]}), ACCEPT], ["any/any from any"]),
        ([meta("l4proto", "tcp"), ACCEPT], ["tcp/any from any"]),
        ([match("tcp", "dport", 22, "!="), ACCEPT], ["any/any from any"]),
        ([match("ip", "saddr", "192.0.2.1", "!="), match("tcp", "dport", 1), ACCEPT], ["tcp/1 from any"]),
        ([match("ip", "saddr", "@friends"), ACCEPT], ["any/any from @friends"]),
        ([match("tcp", "sport", 53), ACCEPT], ["any/any from any"]),
    ],
)
def test_what_a_rule_opens(rule: list[Json], expected: list[str]) -> None:
    assert openings(ruleset(input=[rule]), "input") == ([], expected)


def test_chains_are_followed_with_what_led_there() -> None:
    found = ruleset(
        input=[[match("tcp", "dport", 22), jump("management")], [jump("web", "jump")]],
        management=[[match("ip", "saddr", "192.0.2.1"), jump("management_new")], [jump("input")]],
        management_new=[[ACCEPT]],
        web=[[match("tcp", "dport", 80), ACCEPT]],
        unused=[[ACCEPT]],
    )
    assert openings(found, "input") == (["tcp/22 from 192.0.2.1"], ["tcp/80 from any"])


def test_verdict_maps_are_told() -> None:
    found = ruleset(
        input=[[{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, ACCEPT]]}}}]]
    )
    assert openings(found, "input")[1][0].startswith("what a verdict map says: ")


def test_outgoing_packets_go_to_somewhere() -> None:
    found = ruleset(output=[[match("ip", "daddr", "192.0.2.53"), match("udp", "dport", 53), ACCEPT]])
    assert openings(found, "output") == ([], ["udp/53 to 192.0.2.53"])


def test_rules_of_other_tables_open_nothing() -> None:
    text = json.dumps({"nftables": [{"rule": {"family": "ip", "table": "x", "chain": "input", "expr": [ACCEPT]}}]})
    assert openings(Ruleset(text), "input") == ([], [])


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (
            [state("new"), {"limit": {"rate": 20, "burst": 20, "per": "second", "inv": True}}, {"drop": None}],
            "ct state new limit rate over 20/second burst 20 drop",
        ),
        (
            [
                {
                    "limit": {
                        "rate": 25,
                        "burst": 25,
                        "per": "second",
                        "inv": True,
                        "rate_unit": "mbytes",
                        "burst_unit": "mbytes",
                    }
                },
                {"drop": None},
            ],
            "limit rate over 25 mbytes/second burst 25 drop",
        ),
        ([{"ct count": {"val": 100, "inv": True}}, {"drop": None}], "ct count over 100 drop"),
        ([{"log": {"prefix": "kijun-drop: ", "level": "info"}}], 'log prefix "kijun-drop: "'),
        ([{"log": None}, {"counter": "refused"}, {"counter": {"packets": 1}}], "log counter refused counter"),
        (
            [match("ip", "saddr", {"prefix": {"addr": "127.0.0.0", "len": 8}}), {"drop": None}],
            "ip saddr 127.0.0.0/8 drop",
        ),
        (
            [
                {
                    "set": {
                        "op": "add",
                        "elem": {"elem": {"val": {"payload": {"protocol": "ip", "field": "saddr"}}, "timeout": 60}},
                        "set": "@attempts4",
                        "stmt": [{"limit": {"rate": 1, "burst": 9, "per": "hour", "inv": True}}],
                    }
                }
            ],
            "add @attempts4 { ip saddr timeout 60s limit rate over 1/hour burst 9 }",
        ),
        (
            [{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@blocked4"}}],
            "add @blocked4 { ip saddr }",
        ),
        ([match("tcp", "dport", 22, "!=")], "tcp dport != 22"),
        ([{"xt": None}], "xt"),
    ],
)
def test_text_of_a_rule(expr: list[Json], expected: str) -> None:
    assert rule_text({"expr": expr}) == expected


def test_differences_name_rules_both_ways_order_and_number() -> None:
    one, two = [match("tcp", "dport", 1), ACCEPT], [match("tcp", "dport", 2), ACCEPT]
    wanted = ruleset(input=[one, two])
    assert differences(ruleset(input=[one, two]), wanted, [TABLE]) == []
    assert differences(ruleset(input=[one]), wanted, [TABLE]) == ["inet kijun lacks: chain input: tcp dport 2 accept"]
    assert differences(ruleset(input=[one, two, two]), wanted, [TABLE]) == [
        "inet kijun has: chain input: tcp dport 2 accept"
    ]
    assert differences(ruleset(input=[two, one]), wanted, [TABLE]) == ["inet kijun has its rules in another order"]
    assert "inet kijun lacks: table" in differences(Ruleset(""), wanted, [TABLE])


def test_what_the_kernel_counts_is_no_difference() -> None:
    def counted(packets: int) -> Ruleset:
        counter = {
            "family": "inet",
            "table": "kijun",
            "name": "refused",
            "handle": packets,
            "packets": packets,
            "bytes": 1,
        }
        return Ruleset(json.dumps({"nftables": [{"counter": counter}]}))

    assert differences(counted(0), counted(5), [TABLE]) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ["any"]),
        (["192.0.2.1/32", "2001:DB8::/32"], ["192.0.2.1", "2001:db8::/32"]),
        (["10.0.0.0/8", "10.1.0.0/16", "10.2.0.1"], ["10.0.0.0/8"]),
        ([{"range": ["192.0.2.0", "192.0.2.255"]}], ["192.0.2.0/24"]),
        (["@set"], ["@set"]),
    ],
)
def test_places(values: list[Any], expected: list[str]) -> None:
    assert places(values) == expected


def test_filters_say_what_the_facts_say() -> None:
    assert networks(["192.0.2.0/24", "2001:db8::1"], 6) == ["2001:db8::1"]
    assert networks([], 4) == []
    assert networks(["192.0.2.1"], 6) == []
    services = [
        {"name": "web", "protocol": "tcp", "ports": [80, "6000-6010"]},
        {"name": "db", "protocol": "tcp", "ports": [5432], "sources": ["192.0.2.0/25", "192.0.2.128/25"]},
    ]
    assert promised_openings(services) == ["tcp/5432 from 192.0.2.0/24", "tcp/6000-6010 from any", "tcp/80 from any"]
    assert promised_openings([{"protocol": "udp", "ports": [53], "destinations": ["192.0.2.53"]}], "destinations") == [
        "udp/53 to 192.0.2.53"
    ]


EVENT = {"isolated": True, "at": "2030-01-01T00:00:00Z", "by": "operator", "ticket": "INC-17", "reason": "a break-in"}


@pytest.mark.parametrize(
    ("in_force", "events", "expected"),
    [
        (False, None, None),
        (False, [EVENT, {**EVENT, "isolated": False}], None),
        (True, [EVENT], "isolated since 2030-01-01T00:00:00Z by operator, ticket INC-17: a break-in"),
        (True, None, "isolated without a record"),
        (True, [{**EVENT, "isolated": False}], "isolated without a record"),
        (
            False,
            [EVENT],
            "recorded as isolated since 2030-01-01T00:00:00Z by operator, ticket INC-17: a break-in; not in force",
        ),
    ],
)
def test_isolation(host_with: Any, in_force: bool, events: list[Json] | None, expected: str | None) -> None:
    found = Ruleset("")
    found.tables = [ISOLATION] if in_force else []
    host: Host = host_with({RECORD: json.dumps(events)} if events is not None else {})
    assert isolation(host, found) == expected


def test_a_host_without_nft_has_no_rules(host_with: Any) -> None:
    found = nftables(host_with({}), {"present", "differs", "blocked"})
    assert (found["present"], found["input_policy"], found["accepted"], found["blocked"]) == (False, None, [], [])
    assert found["differs"]
    assert found["rules"]["log"] is None


WEB = {"name": "web", "protocol": "tcp", "ports": [80, "6000-6010"], "sources": ["192.0.2.0/24"], "limit": 5}


@pytest.mark.parametrize("change", [{}, {"ports": ["443"]}, {"limit": "5"}, {"name": "a_1"}])
def test_services_that_are_taken(change: Json) -> None:
    assert within([{**WEB, **change}], {"type": "openings"})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Web"}, {"name": "a b"}, {"name": ""}, {"name": None}, {"name": "x" * 21}, {"protocol": "icmp"},
        {"ports": []}, {"ports": [0]}, {"ports": [65536]}, {"ports": ["10-9"]}, {"ports": ["9-9"]}, {"ports": 80},
        {"ports": [True]}, {"ports": ["80; accept"]}, {"sources": []}, {"sources": ["any"]}, {"sources": "192.0.2.1"},
        {"limit": 0},
        {"limit": 1.5}, {"limit": True}, {"limits": 5}, {"destinations": ["192.0.2.1"]},
    ],
)  # fmt: skip
def test_services_that_are_refused(change: Json) -> None:
    assert not within([{**WEB, **change}], {"type": "openings"})


def test_services_have_names_of_their_own() -> None:
    assert not within([WEB, WEB], {"type": "openings"})
    assert within([WEB, {**WEB, "name": "other"}], {"type": "openings"})


def test_the_controller_is_never_shut_out() -> None:
    limits = {
        "x_networks": {"type": "networks", "holds_controller": True, "clause": "GL-2.5-1"},
        "x_more": {"type": "networks"},
    }
    values = {"x_networks": ["192.0.2.0/24", "2001:db8::/32"], "x_more": []}
    assert shut_out(limits, values, "192.0.2.7") == []
    assert shut_out(limits, values, "2001:db8::7") == []
    assert shut_out(limits, values, None) == []
    (told,) = shut_out(limits, values, "198.51.100.7")
    assert "x_networks is ['192.0.2.0/24', '2001:db8::/32']; it must hold 198.51.100.7" in told
    assert "GL-2.5-1" in told
