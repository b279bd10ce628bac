# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL checks a password by, and which changes lead from the roles and rights that are to those wanted."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils import postgresql_roles as roles
from ansible_collections.kijun.baseline.plugins.plugin_utils.postgresql_roles import Wish

KEY = "5f" * 32
WISH = Wish("books", "keeper", {"keeper": "K" * 20, "clerk": "C" * 20})


def verified(password: str) -> dict[str, Any]:
    """What the host would print of a role with that password."""
    text = roles.verifier(password)
    return {
        "head": text.rpartition("$")[0],
        "proof": hashlib.sha256((KEY + text).encode()).hexdigest(),
        "groups": [],
        **{name: wanted for name, (_, wanted) in roles.ATTRIBUTES.items()},
    }


def settled() -> tuple[dict[str, Any], dict[str, Any]]:
    """A cluster and a schema in which all is as `WISH` says."""
    rights = [["keeper", "CONNECT"], ["keeper", "CREATE"], ["keeper", "TEMPORARY"], ["clerk", "CONNECT"]]
    databases: dict[str, Any] = {name: {"owner": "postgres", "rights": []} for name in ("postgres", "template1")}
    databases["books"] = {"owner": "keeper", "rights": rights}
    schema = [["pg_database_owner", "USAGE"], ["pg_database_owner", "CREATE"], ["clerk", "USAGE"]]
    state = {"roles": {name: verified(text) for name, text in WISH.passwords.items()}, "databases": databases}
    return state, {"owner": "pg_database_owner", "rights": schema}


def said(state: dict[str, Any] | None, schema: dict[str, Any] | None) -> list[str]:
    return [step.what for step in roles.plan(state, schema, WISH, KEY)]


def test_the_verifier_is_that_of_rfc_7677() -> None:
    """Section 3 of the RFC: user `user`, password `pencil`; the signatures that its exchange ends with."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    text = roles.verifier("pencil", salt)
    head, _, keys = text.rpartition("$")
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored, server = (base64.b64decode(part) for part in keys.split(":"))
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    assert base64.b64encode(hmac.digest(server, message, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, message, "sha256")
    client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored


def test_salts_are_random() -> None:
    assert roles.verifier("x" * 20) != roles.verifier("x" * 20)


def test_a_password_fits_what_was_made_of_it_and_nothing_else() -> None:
    there = verified("right")
    assert roles.fits(there, "right", KEY)
    assert not roles.fits(there, "wrong", KEY)
    assert not roles.fits(there, "right", "00" * 32)
    for head in (None, "", "md5abc", there["head"].replace("4096", "1")):
        assert not roles.fits({**there, "head": head}, "right", KEY)


def test_nothing_to_do_where_all_is_well() -> None:
    assert said(*settled()) == []


def test_everything_is_made_on_a_new_server() -> None:
    steps = said(None, None)
    assert steps[:3] == ["role keeper: made", "role clerk: made", "database books: made, owner keeper"]
    assert "database postgres: CONNECT taken from PUBLIC" in steps
    assert "schema public: USAGE given to clerk" in steps


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("roles", "clerk", "super"), True, ["role clerk: NOSUPERUSER"]),
        (("roles", "clerk", "bypassrls"), True, ["role clerk: NOBYPASSRLS"]),
        (("roles", "clerk", "login"), False, ["role clerk: LOGIN"]),
        (("roles", "clerk", "proof"), "00", ["role clerk: password changed"]),
        (("roles", "clerk", "groups"), ["keeper"], ["role clerk: no member of keeper"]),
        (
            ("databases", "postgres", "rights"),
            [["PUBLIC", "CONNECT"]],
            ["database postgres: CONNECT taken from PUBLIC"],
        ),
    ],
)
def test_each_departure_is_put_right(path: tuple[str, ...], value: Any, expected: list[str]) -> None:
    state, schema = settled()
    place: Any = state
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert said(state, schema) == expected


def test_rights_that_nobody_asked_for_are_taken_away() -> None:
    state, schema = settled()
    state["databases"]["books"]["rights"] += [["PUBLIC", "TEMPORARY"], ["clerk", "CREATE"]]
    schema["rights"] += [["PUBLIC", "CREATE"]]
    assert said(state, schema) == [
        "database books: TEMPORARY taken from PUBLIC",
        "database books: CREATE taken from clerk",
        "",
        "schema public: CREATE taken from PUBLIC",
    ]


def test_a_database_and_a_schema_of_somebody_else_change_hands() -> None:
    state, schema = settled()
    state["databases"]["books"]["owner"] = "postgres"
    state["databases"]["books"]["rights"] = [["postgres", "CONNECT"], ["clerk", "CONNECT"]]
    schema["owner"] = "postgres"
    assert "database books: owner keeper" in said(state, schema)
    assert "schema public: owner pg_database_owner" in said(state, schema)


def test_no_step_says_what_a_password_is_checked_by() -> None:
    for step in roles.plan(None, None, WISH, KEY):
        assert "SCRAM" not in step.what
        assert not [text for text in WISH.passwords.values() if text in step.what + step.sql]


def test_a_setting_from_elsewhere_is_told_with_its_source() -> None:
    state = {"settings": {"ssl": ["off", "/etc/x.conf"], "port": ["5432", "default"]}, "hba": ["3: invalid method"]}
    assert roles.departures(state, {"ssl": "on", "port": "5432"}) == [
        "ssl is off and must be on; it comes from /etc/x.conf",
        "pg_hba.conf, line 3: invalid method",
    ]


@pytest.mark.parametrize("password", ["", "short", "x" * 19, "with a blank in it, long", "ü" * 20, 10**20, None])
def test_a_weak_password_is_refused_unseen(password: Any) -> None:
    wrong = roles.complaints(Wish("books", "keeper", {"keeper": password}))
    assert wrong == ["the password of keeper must be at least 20 letters, digits or signs of ASCII"]


@pytest.mark.parametrize("name", ["", "Clerk", "a b", "a;b", 'a"', "1a", "x" * 64, 5])
def test_a_name_that_sql_would_read_otherwise_is_refused(name: Any) -> None:
    assert len(roles.complaints(Wish(name, name, {name: "x" * 20}))) == 2
    assert not roles.complaints(WISH)


def test_the_owner_needs_a_password() -> None:
    assert roles.complaints(Wish("books", "keeper", {})) == ["passwords has none for the owner 'keeper'"]
