# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's PostgreSQL as tests use it: the host that serves it, its address for each role, databases to throw away."""

from __future__ import annotations

import secrets
import subprocess
import sys
import urllib.parse
from pathlib import Path

from kijun_lab import description

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
HOST = "ledger"
DATABASE = "kijun_ledger"
AUTHORITY = "/etc/kijun/postgresql/authority.crt"
INVENTORY = "inventories/lab"


def serve() -> None:
    """Bring the lab's host `ledger` up and set its database up; takes some seconds when both are done already.

    Raises:
        RuntimeError: one of these failed; the text says what was printed.
    """
    _run(["lab/lab", "up", HOST])
    _run([ANSIBLE_PLAYBOOK, "-i", INVENTORY, "playbooks/ledger_server.yml", "--limit", HOST])
    authority()


def postgresql_url(role: str = "owner", database: str | None = None, host: str = HOST) -> str:
    """The address of a database of the lab's PostgreSQL, as SQLAlchemy takes it.

    Args:
        role: ``owner``, ``writer`` or ``reader``.
        database: its name; the ledger's own when not given.
        host: the host of the lab that serves it.

    Returns:
        An address with a password; the server is known by the authority that it had at the last `serve` or `authority`.

    Raises:
        FileNotFoundError: the role has not been run on this instance of the lab.
    """
    parts = {"sslmode": "verify-full", "sslrootcert": str(_folder() / f"{host}.crt")}
    login = f"kijun_{role}:{password(role)}@{_lab().hosts[host].address}:5432"
    return f"postgresql+psycopg://{login}/{database or DATABASE}?{urllib.parse.urlencode(parts)}"


def password(role: str) -> str:
    """The password of ``owner``, ``writer`` or ``reader``, as the lab's inventory made it."""
    return (_folder() / role).read_text(encoding="ascii").split()[0]


def authority(host: str = HOST) -> Path:
    """Fetch the certificate authority of a host that serves the ledger, and return the file that it is in now."""
    path = _folder() / f"{host}.crt"
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(_run(["lab/lab", "exec", host, "--", "cat", AUTHORITY]), encoding="ascii")
    return temporary.replace(path)


def fresh_database(host: str = HOST) -> str:
    """Make an empty database, owned and open to the ledger's roles as the real one is.

    Args:
        host: the host of the lab that serves it.

    Returns:
        Its name.
    """
    name = f"test_{secrets.token_hex(6)}"
    as_superuser(
        f"CREATE DATABASE {name} OWNER kijun_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';"
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
        f"GRANT CONNECT ON DATABASE {name} TO kijun_writer, kijun_reader;\n"
        f"\\connect {name}\n"
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO kijun_writer, kijun_reader;",
        host=host,
    )
    return name


def drop_database(name: str, host: str = HOST) -> None:
    """Remove a database, even while somebody is connected to it."""
    as_superuser(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", host=host)


def as_superuser(sql: str, database: str = "postgres", host: str = HOST) -> str:
    """Run a script of psql(1) as PostgreSQL's superuser, and return what it prints: a line a row, ``|`` between fields.

    Raises:
        RuntimeError: it failed; the text says why.
    """
    psql = f"exec runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d {database}"
    return _run(["lab/lab", "exec", host, "--", "sh", "-c", psql], sql)


def _lab() -> description.Lab:
    return description.read(description.instance_number())


def _folder() -> Path:
    """Where the inventory keeps the passwords of this instance."""
    lab = _lab()
    return description.STATE / "ledger" / f"{lab.prefix}.{lab.instance}"


def _run(command: list[str], given: str = "") -> str:
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout
