# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL's roles and their rights on one database should be, held against what they are."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

ITERATIONS = 4096
"""Rounds of PBKDF2 in a verifier: PostgreSQL's own number. Passwords are long enough not to need more."""

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
"""A name that needs no quotes in SQL."""

PASSWORD = re.compile(r"[!-~]{20,}")
"""ASCII without blanks: SASLprep (RFC 4013) leaves it as it is."""

HEAD = re.compile(r"SCRAM-SHA-256\$%d:([A-Za-z0-9+/=]+)" % ITERATIONS)
"""How a verifier begins: its rounds and its salt. The keys behind it stay on the host (RFC 5803)."""

ATTRIBUTES = {
    "login": ("LOGIN", True),
    "super": ("SUPERUSER", False),
    "createdb": ("CREATEDB", False),
    "createrole": ("CREATEROLE", False),
    "replication": ("REPLICATION", False),
    "bypassrls": ("BYPASSRLS", False),
}
"""Attribute as `READ` names it -> its word in SQL, and whether each role has it."""

READ = r"""
\set roles '{roles}'
\set database '{database}'
\set key '{key}'
SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(r.rolname, json_build_object(
      'login', r.rolcanlogin, 'super', r.rolsuper, 'createdb', r.rolcreatedb, 'createrole', r.rolcreaterole,
      'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
      'head', substring(r.rolpassword from '^[^$]*[$][^$]*'),
      'proof', encode(sha256(convert_to(:'key' || r.rolpassword, 'UTF8')), 'hex'),
      'groups', (SELECT coalesce(json_agg(g.rolname), '[]') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                 WHERE m.member = r.oid))), '{}')
    FROM pg_authid r WHERE r.rolname = ANY (string_to_array(:'roles', ','))),
  'databases', (SELECT json_object_agg(d.datname, json_build_object(
      'owner', pg_get_userbyid(d.datdba),
      'rights', (SELECT json_agg(json_build_array(
          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type))
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)))
    FROM pg_database d),
  'settings', (SELECT json_object_agg(s.name, json_build_array(s.setting, coalesce(s.sourcefile, s.source)))
    FROM pg_settings s),
  'hba', (SELECT coalesce(json_agg(h.line_number || ': ' || h.error), '[]')
    FROM pg_hba_file_rules h WHERE h.error IS NOT NULL));
SELECT count(*) > 0 AS there FROM pg_database WHERE datname = :'database' \gset
\if :there
\connect :"database"
SELECT json_build_object(
  'owner', pg_get_userbyid(n.nspowner),
  'rights', (SELECT json_agg(json_build_array(
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type))
    FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a))
FROM pg_namespace n WHERE n.nspname = 'public';
\endif
"""
"""Script for psql(1) that prints the state as JSON: a line for the cluster, and one for the database if it is there.

Ansible shows what a host prints when it is asked for much detail. So of a verifier there is only its head, and a hash
under a key that was drawn for this one question.
"""

SCHEMA_OWNER = "pg_database_owner"
"""PostgreSQL's own name for whoever owns the database; it owns the schema ``public`` of a new one."""

NEW_DATABASE = [("PUBLIC", "CONNECT"), ("PUBLIC", "TEMPORARY")]
"""What others than the owner may do in a database that was just made."""

CLOSED = {"postgres": NEW_DATABASE, "template1": [("PUBLIC", "CONNECT")]}
"""Databases of every cluster that only superusers have business in -> what others may do there at first."""

NEW_SCHEMA = {
    "owner": SCHEMA_OWNER,
    "rights": [("PUBLIC", "USAGE"), (SCHEMA_OWNER, "USAGE"), (SCHEMA_OWNER, "CREATE")],
}
"""The schema ``public`` of a database that was just made."""


@dataclass(frozen=True)
class Wish:
    """What there should be.

    Attributes:
        database: the database.
        owner: the role that owns it; the others may connect to it, and use what is in it as they are granted.
        passwords: role -> its password.
    """

    database: str
    owner: str
    passwords: dict[str, str]


class Step(NamedTuple):
    """One change.

    Attributes:
        what: what it is about, and what becomes of it, in words that anybody may read.
        sql: the statement, which may hold what a password is checked by.
    """

    what: str
    sql: str


def verifier(password: str, salt: bytes | None = None) -> str:
    """Work out what PostgreSQL checks a password by (RFC 5802, RFC 7677).

    Args:
        password: the password, as `PASSWORD` has it.
        salt: the salt; 16 random bytes where none is given.

    Returns:
        Text for PostgreSQL's ``PASSWORD '...'``, from which the password cannot be read.
    """
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client_key).digest(), server_key)]
    return "SCRAM-SHA-256$%s:%s$%s:%s" % (ITERATIONS, *encoded)


def fits(there: dict[str, Any], password: str, key: str) -> bool:
    """Tell whether a password is the one that PostgreSQL checks for, by as many rounds as `verifier` makes.

    Args:
        there: the role, as `READ` gives it.
        password: the password.
        key: the key that `READ` was given.
    """
    match = HEAD.fullmatch(there["head"] or "")
    if match is None:
        return False
    expected = key + verifier(password, base64.b64decode(match[1]))
    return hmac.compare_digest(hashlib.sha256(expected.encode()).hexdigest(), there["proof"])


def question(wish: Wish, key: str) -> str:
    """The script that reads what there is.

    Args:
        wish: what there should be.
        key: 64 hexadecimal digits that nobody else knows.
    """
    filled = {"roles": ",".join(wish.passwords), "database": wish.database, "key": key}
    return functools.reduce(lambda text, name: text.replace("{%s}" % name, filled[name]), filled, READ)


def complaints(wish: Wish) -> list[str]:
    """What is wrong with a wish; no password is in it."""
    names = [wish.database, *wish.passwords]
    wrong = ["%r is no name for a role or a database: %s" % (name, NAME.pattern) for name in names if not named(name)]
    if wish.owner not in wish.passwords:
        wrong.append("passwords has none for the owner %r" % wish.owner)
    weak = [name for name, text in wish.passwords.items() if not isinstance(text, str) or not PASSWORD.fullmatch(text)]
    return wrong + ["the password of %s must be at least 20 letters, digits or signs of ASCII" % name for name in weak]


def named(value: Any) -> bool:
    """Tell whether a value is a name that needs no quotes in SQL."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def departures(state: dict[str, Any], settings: dict[str, str]) -> list[str]:
    """Settings under which the server does not run, though it should.

    Args:
        state: the cluster, as `READ` gives it.
        settings: name -> value, as ``pg_settings`` shows it.
    """
    found = []
    for name, value in settings.items():
        actual, source = state["settings"].get(name, (None, "the server, which does not know it"))
        if actual != str(value):
            found.append("%s is %s and must be %s; it comes from %s" % (name, actual, value, source))
    return found + ["pg_hba.conf, line %s" % problem for problem in state["hba"]]


def plan(state: dict[str, Any] | None, schema: dict[str, Any] | None, wish: Wish, key: str) -> list[Step]:
    """List the changes that bring roles and rights from what they are to what they should be.

    Args:
        state: the cluster, as `READ` gives it; None when there is none yet.
        schema: the database's schema ``public``, as `READ` gives it; None when there is no such database yet.
        wish: what there should be.
        key: the key that `READ` was given.

    Returns:
        The changes in their order; none when all is well.
    """
    state = state or {"roles": {}, "databases": {}}
    steps: list[Step] = []
    for role, password in wish.passwords.items():
        steps += _role(role, password, state["roles"].get(role), key)
    steps += _database(wish, state["databases"].get(wish.database))
    for other, at_first in CLOSED.items():
        there = state["databases"].get(other, {"rights": at_first})
        public = {(who, right) for who, right in there["rights"] if who == "PUBLIC"}
        steps += _rights("DATABASE %s" % other, public, set())
    return steps + _schema(wish, schema)


def script(steps: Iterable[Step]) -> str:
    """A script for psql(1) that makes changes."""
    return "\n".join(step.sql for step in steps)


def _role(role: str, password: str, there: dict[str, Any] | None, key: str) -> list[Step]:
    words = {key: word if wanted else "NO" + word for key, (word, wanted) in ATTRIBUTES.items()}
    if there is None:
        sql = "CREATE ROLE %s %s PASSWORD '%s';" % (role, " ".join(words.values()), verifier(password))
        return [Step("role %s: made" % role, sql)]
    wrong = [words[key] for key, (_, wanted) in ATTRIBUTES.items() if there[key] != wanted]
    steps = [Step("role %s: %s" % (role, word), "ALTER ROLE %s %s;" % (role, word)) for word in wrong]
    if not fits(there, password, key):
        sql = "ALTER ROLE %s PASSWORD '%s';" % (role, verifier(password))
        steps.append(Step("role %s: password changed" % role, sql))
    for group in there["groups"]:
        steps.append(Step("role %s: no member of %s" % (role, group), 'REVOKE "%s" FROM %s;' % (group, role)))
    return steps


def _database(wish: Wish, there: dict[str, Any] | None) -> list[Step]:
    steps = []
    what = "DATABASE %s" % wish.database
    owns = {(wish.owner, right) for right in ("CONNECT", "CREATE", "TEMPORARY")}
    if there is None:
        sql = "CREATE %s OWNER %s TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';" % (what, wish.owner)
        steps.append(Step("database %s: made, owner %s" % (wish.database, wish.owner), sql))
        there = {"owner": wish.owner, "rights": [*NEW_DATABASE, *owns]}
    if there["owner"] != wish.owner:
        sql = "ALTER %s OWNER TO %s;" % (what, wish.owner)
        steps.append(Step("database %s: owner %s" % (wish.database, wish.owner), sql))
        # The former owner's rights become the new one's.
        there = {"rights": [(wish.owner if who == there["owner"] else who, r) for who, r in there["rights"]]}
    wanted = owns | {(role, "CONNECT") for role in wish.passwords}
    return steps + _rights(what, {(who, right) for who, right in there["rights"]}, wanted)


def _schema(wish: Wish, there: dict[str, Any] | None) -> list[Step]:
    steps = []
    there = there or NEW_SCHEMA
    if there["owner"] != SCHEMA_OWNER:
        steps.append(Step("schema public: owner %s" % SCHEMA_OWNER, "ALTER SCHEMA public OWNER TO %s;" % SCHEMA_OWNER))
        there = {"rights": [(SCHEMA_OWNER if who == there["owner"] else who, r) for who, r in there["rights"]]}
    wanted = {(SCHEMA_OWNER, right) for right in ("USAGE", "CREATE")}
    wanted |= {(role, "USAGE") for role in wish.passwords if role != wish.owner}
    steps += _rights("SCHEMA public", {(who, right) for who, right in there["rights"]}, wanted)
    return [Step("", "\\connect %s" % wish.database), *steps] if steps else []


def _rights(what: str, there: set[tuple[str, str]], wanted: set[tuple[str, str]]) -> list[Step]:
    """The changes that leave exactly the wanted rights on something."""
    steps = []
    for who, right in sorted(there - wanted):
        name = who if who == "PUBLIC" else '"%s"' % who
        sql = "REVOKE %s ON %s FROM %s CASCADE;" % (right, what, name)
        steps.append(Step("%s: %s taken from %s" % (what.lower(), right, who), sql))
    for who, right in sorted(wanted - there):
        sql = "GRANT %s ON %s TO %s;" % (right, what, who)
        steps.append(Step("%s: %s given to %s" % (what.lower(), right, who), sql))
    return steps
