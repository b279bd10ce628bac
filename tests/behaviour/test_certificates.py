# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of the internal authority: shown in real TLS, renewed in time, and worth nothing to anybody else."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator

import pytest

from .conftest import Machine

Verdicts = Callable[..., dict[str, str]]

CONVERGE = "molecule/certificates/converge.yml"
SETTINGS = ("-e", "@molecule/certificates/vars/settings.yml")
FOLDER = "/etc/kijun/certificates"
PORT = 9443
READER = "kijun-test-reader"
"""The unit that reads the certificate."""


@pytest.fixture(scope="module")
def authority() -> Machine:
    """The host that keeps the authority; OpenSSL's there can sign for times that are past."""
    return Machine("ledger")


@pytest.fixture(scope="module", autouse=True)
def reader(machine: Machine) -> Iterator[None]:
    """A unit on the host that counts how often it was told to read the certificate anew."""
    unit = f"""[Service]
ExecStart=sleep infinity
ExecReload=sh -c 'echo read >>/run/{READER}'
"""
    machine.ok(f"printf %s {shlex.quote(unit)} >/run/systemd/system/{READER}.service; systemctl daemon-reload")
    machine.ok(f"rm -f /run/{READER}; systemctl start {READER}")
    yield
    machine.ok(f"systemctl stop {READER}; rm -f /run/{READER} /run/systemd/system/{READER}.service")


def times_read(machine: Machine) -> int:
    return int(machine.ok(f"cat /run/{READER} 2>/dev/null | wc -l"))


def converge(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return machine.playbook(CONVERGE, *arguments)


def certificate(machine: Machine) -> str:
    return machine.ok(f"cat {FOLDER}/host.crt")


def seen(verdicts: Verdicts, *arguments: str) -> tuple[str, str]:
    """What the audit says of the two controls."""
    found = verdicts("--tags", "certificates", *SETTINGS, *arguments)
    return found["CERT-01"], found["CERT-02"]


def repaired(machine: Machine, verdicts: Verdicts) -> None:
    """The check foresees a change, the run makes it, the unit reads it, and the audit is content again."""
    before, read = certificate(machine), times_read(machine)
    for arguments, changes in ((["--check"], True), ([], True), (["--check"], False), ([], False)):
        done = converge(machine, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("changed=0 " not in done.stdout) == changes, (arguments, done.stdout)
    assert certificate(machine) != before
    assert times_read(machine) == read + 1
    assert seen(verdicts) == ("pass", "pass")


def aged(machine: Machine, authority: Machine, days_ago: int, life: int = 90) -> None:
    """Have the host's certificate be one that the authority signed some days ago."""
    key = machine.ok(f"openssl pkey -in {FOLDER}/host.key -pubout")
    extensions = (
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
        f"subjectAltName=DNS:{machine.name},IP:{machine.address}\n"
    )
    made = authority.ok(
        f"cd /run && printf %s {shlex.quote(key)} >key && printf %s {shlex.quote(extensions)} >extensions"
        f" && openssl x509 -new -force_pubkey key -subj /CN={machine.name} -extfile extensions"
        " -CA /etc/kijun/authority/authority.crt -CAkey /etc/kijun/authority/authority.key"
        f" -not_before $(date -u -d '-{days_ago} days' +%Y%m%d%H%M%SZ)"
        f" -not_after $(date -u -d '{life - days_ago} days' +%Y%m%d%H%M%SZ); rm -f key extensions"
    )
    machine.ok(f"printf %s {shlex.quote(made)} >{FOLDER}/host.crt")


@pytest.mark.control("CERT-01", "CERT-02")
def test_audit_finds_the_host_as_it_was_left(verdicts: Verdicts) -> None:
    assert seen(verdicts) == ("pass", "pass")


def greeted(machine: Machine, client: Machine, *options: str) -> bool:
    """Whether a client whose certificate is asked for, and who looks at the host's, gets through."""
    line = f"openssl s_client -connect {machine.address}:{PORT} -verify_return_error -brief {shlex.join(options)}"
    # The server's word comes after the handshake, which TLS 1.3 ends before the client's certificate was looked at.
    return "kijun-was-here" in client.run(f"(sleep 1; echo Q) | timeout 10 {line}").stdout


@pytest.mark.control("CERT-02")
def test_certificates_are_what_hosts_know_each_other_by(machine: Machine, authority: Machine) -> None:
    mine = ("-CAfile", f"{FOLDER}/authority.crt", "-cert", f"{FOLDER}/host.crt", "-key", f"{FOLDER}/host.key")
    machine.ok(
        f"systemd-run --quiet --collect --unit=kijun-tls sh -c 'while sleep 0.2; do echo kijun-was-here; done | "
        f"openssl s_server -accept {PORT} -Verify 1 -verify_return_error -quiet {shlex.join(mine)}'"
    )
    other = "/run/another"
    try:
        machine.ok(f"for i in $(seq 50); do ss -Hltn sport = :{PORT} | grep -q . && exit 0; sleep 0.1; done; exit 1")
        for name in (["-verify_hostname", machine.name], ["-verify_ip", machine.address]):
            assert greeted(machine, authority, *mine, *name)
        assert not greeted(machine, authority, *mine, "-verify_hostname", "ledger"), "shown as another host"
        assert not greeted(machine, authority, *mine[:2]), "without a certificate"
        authority.ok(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {other}.key -out {other}.crt"
            " -subj /CN=ledger -days 9"
        )
        assert not greeted(machine, authority, *mine[:2], "-cert", f"{other}.crt", "-key", f"{other}.key"), (
            "a stranger's"
        )
    finally:
        machine.run("systemctl stop kijun-tls")
        authority.run(f"rm -f {other}.*")


@pytest.mark.control("CERT-01")
def test_certificate_is_renewed_when_two_thirds_of_its_life_are_over(
    machine: Machine, authority: Machine, verdicts: Verdicts
) -> None:
    aged(machine, authority, 59)
    assert seen(verdicts) == ("pass", "pass")
    assert "changed=0 " in converge(machine).stdout
    aged(machine, authority, 61)
    assert seen(verdicts) == ("fail", "pass")
    key = machine.ok(f"cat {FOLDER}/host.key")
    repaired(machine, verdicts)
    assert machine.ok(f"cat {FOLDER}/host.key") != key, "the key is the old one"


@pytest.mark.control("CERT-01")
def test_certificates_of_others_are_watched(machine: Machine, authority: Machine, verdicts: Verdicts) -> None:
    def watching(pattern: str) -> tuple[str, str]:
        return seen(verdicts, "-e", json.dumps({"certificates_watched": [pattern]}))

    mine = certificate(machine)
    try:
        for days_ago, verdict in ((109, "pass"), (111, "fail")):
            aged(machine, authority, days_ago, life=200)
            machine.ok(f"install -D {FOLDER}/host.crt /etc/ssl/kijun-test/web.crt")
            machine.ok(f"printf %s {shlex.quote(mine)} >{FOLDER}/host.crt")
            assert watching("/etc/ssl/kijun-test/*.crt") == (verdict, "pass")
        assert watching("/etc/ssl/kijun-test/*.pem") == ("pass", "fail"), "what is not there is not missed"
        machine.ok("echo nothing >/etc/ssl/kijun-test/web.crt")
        assert watching("/etc/ssl/kijun-test/*.crt") == ("fail", "pass")
    finally:
        machine.run("rm -rf /etc/ssl/kijun-test")
        machine.ok(f"printf %s {shlex.quote(mine)} >{FOLDER}/host.crt")


@pytest.mark.control("CERT-02")
def test_opened_key_is_noticed_and_closed(machine: Machine, verdicts: Verdicts) -> None:
    before = certificate(machine)
    machine.ok(f"chmod 644 {FOLDER}/host.key")
    assert seen(verdicts) == ("pass", "fail")
    for arguments, changes in ((["--check"], "1"), ([], "1"), ([], "0")):
        assert f"changed={changes} " in converge(machine, *arguments).stdout
    assert seen(verdicts) == ("pass", "pass")
    assert certificate(machine) == before


UNDONE = {
    "another key": f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {FOLDER}/host.key",
    "no key": f"rm {FOLDER}/host.key",
    "no certificate": f"mv {FOLDER}/host.crt {FOLDER}/host.old",
    "not a certificate": f"echo nothing >{FOLDER}/host.crt",
    "another authority's": (
        f"openssl req -x509 -key {FOLDER}/host.key -subj /CN=$(hostname) -addext subjectAltName=DNS:$(hostname)"
        f" -days 80 -out {FOLDER}/host.crt"
    ),
}


@pytest.mark.control("CERT-02")
@pytest.mark.parametrize("how", UNDONE)
def test_certificate_that_is_none_is_replaced(machine: Machine, verdicts: Verdicts, how: str) -> None:
    before = certificate(machine)
    machine.ok(UNDONE[how])
    machine.ok(f"[ -e {FOLDER}/host.crt ] || touch {FOLDER}/host.crt")
    if how not in ("no key", "another authority's"):
        assert "fail" in seen(verdicts)
    repaired(machine, verdicts)
    assert certificate(machine) != before


@pytest.mark.control("CERT-02")
def test_other_names_are_another_certificate(machine: Machine) -> None:
    names = {"certificates_names": [machine.name, "log.example.com"]}
    assert converge(machine, "-e", json.dumps(names)).returncode == 0
    said = machine.ok(f"openssl x509 -in {FOLDER}/host.crt -noout -ext subjectAltName")
    assert f"DNS:{machine.name}, DNS:log.example.com" in said
    assert converge(machine).returncode == 0
    assert "log.example.com" not in machine.ok(f"openssl x509 -in {FOLDER}/host.crt -noout -ext subjectAltName")


@pytest.mark.control("CERT-02")
def test_run_that_was_killed_before_units_read_is_made_good(machine: Machine) -> None:
    read = times_read(machine)
    machine.ok(f"echo '[\"{READER}.service\"]' >/var/lib/kijun/certificates/units.json")
    assert "changed=1 " in converge(machine).stdout
    assert times_read(machine) == read + 1
    assert "changed=0 " in converge(machine).stdout


@pytest.mark.control("CERT-02")
def test_key_of_the_authority_is_on_its_host_alone(machine: Machine, authority: Machine) -> None:
    assert authority.ok("stat -c '%U %a' /etc/kijun/authority /etc/kijun/authority/authority.key") == (
        "root 700\nroot 600\n"
    )
    assert machine.run("test -e /etc/kijun/authority").rc == 1
    issued = [json.loads(line) for line in authority.ok("cat /etc/kijun/authority/issued.jsonl").splitlines()]
    serial = machine.ok(f"openssl x509 -in {FOLDER}/host.crt -noout -serial").strip().partition("=")[2]
    assert [entry["id"] for entry in issued if entry["serial"] == serial] == [f"{machine.name}/host"]


@pytest.mark.control("CERT-01")
def test_authority_moves_and_is_replaced(machine: Machine, verdicts: Verdicts) -> None:
    def subjects() -> list[str]:
        return machine.ok(f"grep -c 'BEGIN CERTIFICATE' {FOLDER}/authority.crt").split()

    # On the host itself, where nobody else's tests meet it.
    here = ("-e", json.dumps({"certificates_authority_host": machine.name}))
    try:
        assert converge(machine, *here).returncode == 0
        before, read = certificate(machine), times_read(machine)
        done = converge(machine, *here, "-e", "certificates_authority_replace=true")
        assert done.returncode == 0, done.stdout + done.stderr
        assert certificate(machine) == before, "it is still good"
        assert subjects() == ["2"]
        assert times_read(machine) == read + 1
        assert seen(verdicts, *here) == ("pass", "pass")
        machine.ok(f": >{FOLDER}/host.crt")
        assert converge(machine, *here).returncode == 0
        machine.ok(f"openssl verify -CAfile /etc/kijun/authority/authority.crt {FOLDER}/host.crt")
        assert "changed=0 " in converge(machine, *here).stdout
    finally:
        assert converge(machine).returncode == 0
        machine.ok("rm -r /etc/kijun/authority")
    assert subjects() == ["1"]
    assert seen(verdicts) == ("pass", "pass")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"certificates_days": 120}, "certificates_days"),
        ({"certificates_names": []}, "certificates_names"),
        ({"certificates_names": ["a b"]}, "certificates_names"),
        ({"certificates_authority_days": 10}, "certificates_authority_days"),
    ],
)
def test_wrong_settings_stop_the_host_before_anything_changes(
    machine: Machine, setting: dict[str, object], told: str
) -> None:
    before = certificate(machine)
    done = converge(machine, "-e", json.dumps(setting))
    assert done.returncode != 0
    assert told in done.stdout
    assert "SO-5.1" in done.stdout
    assert certificate(machine) == before
