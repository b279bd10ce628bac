# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: when they are due, what the authority signs and what it does not, and what the audit reads."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.certificates import (
    DAY,
    Certificate,
    CertificateError,
    make_key,
    openssl,
    public_key,
    read,
    signed_by,
    subject_name,
)
from ansible_collections.kijun.baseline.plugins.module_utils.facts.certificates import certificates
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.modules.certificate_authority import run

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("life", "left", "due"),
    [
        (90, 30.1, False),
        (90, 29.9, True),
        (30, 10.1, False),
        (30, 9.9, True),
        (91, 90.5, False),
        (91, 89.9, True),
        (365, 90.1, False),
        (365, 89.9, True),
        (365, -1, True),
    ],
)
def test_due_three_months_ahead_or_at_two_thirds_of_a_short_life(life: float, left: float, due: bool) -> None:
    ends = int(NOW + left * DAY)
    there = Certificate("", frozenset(), frozenset(), int(ends - life * DAY), ends, "")
    assert there.due(NOW) == due


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("log1.example.com", "DNS:log1.example.com"),
        ("192.0.2.1", "IP:192.0.2.1"),
        ("2001:db8::1", "IP:2001:db8::1"),
        ("cafe", "DNS:cafe"),
    ],
)
def test_names_and_addresses(name: str, written: str) -> None:
    assert subject_name(name) == written


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = str(tmp_path / "host.key")
    make_key(path)
    return path


def wish(tmp_path: Path, *requests: dict[str, Any], **other: Any) -> dict[str, Any]:
    folder = str(tmp_path / "authority")
    return {"folder": folder, "name": "Test", "days": 400, "replace": False, "requests": list(requests), **other}


def request(key: str, name: str = "server1", **other: Any) -> dict[str, Any]:
    csr = openssl("req", "-new", "-key", key, "-subj", "/CN=another", "-addext", "subjectAltName=DNS:another")
    about = {"names": ["server1.example.com", "192.0.2.1"], "usages": ["server"], "days": 90, "why": "there is none"}
    return {"id": f"{name}/host", "csr": csr, **about, **other}


def test_only_the_key_of_a_request_is_taken(tmp_path: Path, key: str) -> None:
    done = run(wish(tmp_path, request(key)), check=False)
    made = read(done["signed"]["server1/host"])
    assert done["changed"]
    assert made.subject == "CN = server1.example.com"
    assert made.names == {"DNS:server1.example.com", "IP:192.0.2.1"}
    assert made.usages == {"server"}
    assert made.public_key == public_key(key)
    assert made.ends - made.begins == 90 * DAY
    assert signed_by(done["signed"]["server1/host"], done["authority"])
    [line] = (tmp_path / "authority" / "issued.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["id"] == "server1/host"


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    first, second = (run(wish(tmp_path), check=False) for _ in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["authority"] == second["authority"]
    assert (tmp_path / "authority" / "authority.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "authority").stat().st_mode & 0o777 == 0o700


def test_check_mode_makes_nothing(tmp_path: Path, key: str) -> None:
    assert run(wish(tmp_path), check=True) == {
        "changed": True,
        "authority": "",
        "signed": {},
        "refused": {},
        "diff": {"before": "", "after": "make the authority\n"},
    }
    assert not (tmp_path / "authority").exists()
    run(wish(tmp_path), check=False)
    done = run(wish(tmp_path, {**request(key), "csr": ""}), check=True)
    assert (done["changed"], done["signed"]) == (True, {})
    assert not (tmp_path / "authority" / "issued.jsonl").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [({"csr": "nothing"}, "openssl req"), ({"days": 500}, "500 days reach beyond the authority's own end")],
)
def test_a_bad_request_keeps_nobody_else_from_a_certificate(
    tmp_path: Path, key: str, wrong: dict[str, Any], why: str
) -> None:
    done = run(wish(tmp_path, request(key, **wrong), request(key, "server2")), check=False)
    assert list(done["signed"]) == ["server2/host"]
    assert why in done["refused"]["server1/host"]


def test_a_request_whose_sender_has_not_the_key_is_refused(tmp_path: Path, key: str) -> None:
    head, *body, foot = request(key)["csr"].splitlines()
    content = bytearray(base64.b64decode("".join(body)))
    content[-1] ^= 1
    forged = "\n".join([head, *base64.encodebytes(bytes(content)).decode().splitlines(), foot, ""])
    refused = run(wish(tmp_path, {**request(key), "csr": forged}), check=False)["refused"]
    assert refused == {"server1/host": "server1/host: who asks does not have the key"}


def test_another_authority_signs_and_the_earlier_one_is_trusted(tmp_path: Path, key: str) -> None:
    first = run(wish(tmp_path, request(key)), check=False)
    second = run(wish(tmp_path, request(key), replace=True), check=False)
    assert second["authority"].endswith(first["authority"])
    assert second["authority"].count("BEGIN CERTIFICATE") == 2
    for pem, by_the_first in ((first["signed"]["server1/host"], True), (second["signed"]["server1/host"], False)):
        assert signed_by(pem, first["authority"]) == by_the_first
        assert signed_by(pem, second["authority"])


def test_an_authority_whose_key_is_another_ones_signs_nothing(tmp_path: Path, key: str) -> None:
    run(wish(tmp_path), check=False)
    make_key(str(tmp_path / "authority" / "authority.key"))
    with pytest.raises(CertificateError, match="does not fit"):
        run(wish(tmp_path, request(key)), check=False)


def test_what_the_audit_reads(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(wish(tmp_path, request(key, days=90)), check=False)
    folder = tmp_path / "root" / "etc"
    folder.mkdir(parents=True)
    (folder / "good.crt").write_text(done["signed"]["server1/host"], encoding="utf-8")
    (folder / "good.key").write_text(Path(key).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "good.key").chmod(0o600)
    (folder / "other.crt").write_text(done["signed"]["server1/host"], encoding="utf-8")
    make_key(str(folder / "other.key"))
    (folder / "other.key").chmod(0o640)
    (folder / "bad.crt").write_text("nothing", encoding="utf-8")
    pattern = "/etc/*.crt,/etc/none.pem"
    found = certificates(Host(str(tmp_path / "root")), {pattern})[pattern]
    day = time.strftime("%Y-%m-%d", time.gmtime(read(done["signed"]["server1/host"]).ends))
    assert found["ends"]["/etc/good.crt"] == day
    assert found["missing"] == ["/etc/none.pem"]
    assert found["foreign_keys"] == ["/etc/other.key"]
    assert found["open_keys"] == ["/etc/other.key: 0640"]
    assert [text.partition(":")[0] for text in found["unreadable"]] == ["/etc/bad.crt"]
    assert found["due"] == []
    later = time.time() + 61 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    found = certificates(Host(str(tmp_path / "root")), {"/etc/good.crt"})["/etc/good.crt"]
    assert found["due"] == [f"/etc/good.crt: ends on {day}"]
