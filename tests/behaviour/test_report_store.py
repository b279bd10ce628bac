# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose containers share no directory: what they leave is in a real object store, and on a real SFTP host."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kijun_s3
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_changes import SERVER, lab
from kijun_hosts import Machine
from kijun_lab import identity
from kijun_lab.podman import ENVIRONMENT
from kijun_runner import (
    LARGEST_ARTIFACTS,
    Credentials,
    Result,
    image,
    lab_credentials,
    lab_inventory,
    network,
    project,
    run_job,
    shared_folder,
)
from kijun_store import PLACE, contents, injected

REPORTS = "/var/lib/kijun/reports"
"""What awx_configure_reports is unless somebody says otherwise; nothing is mounted on it here."""

USER = "evidence"
SEEN = "/seen"


@dataclasses.dataclass(frozen=True)
class Place:
    """A store.

    Attributes:
        inputs: of AWX's credential.
        secret: what nobody may see.
    """

    inputs: dict[str, str]
    secret: str

    def credentials(self, **environment: str) -> Credentials:
        """What a job is given."""
        found = injected(self.inputs)
        more = {"KIJUN_REPORT_DIR": REPORTS, **found["environment"], **environment}
        return lab_credentials(environment=more, files=found["files"])

    def python(self, source: str) -> tuple[str, dict[str, bytes]]:
        """Run Python source in the execution environment, beside the store, as `store`.

        Returns:
            What it printed, and the files that it left in the folder `seen`.
        """
        found = injected(self.inputs)
        with shared_folder() as folder:
            for name, text in found["files"].items():
                (folder / name).write_text(text, "utf-8")
                (folder / name).chmod(0o666)
            paths = {name: f"{SEEN}/{name}" for name in found["files"]}
            (folder / "seen").mkdir()
            (folder / "seen").chmod(0o777)
            begin = (
                "import os, pathlib, subprocess, sys\n"
                "sys.path.insert(0, '/runner/project/plugins/plugin_utils')\n"
                "import report_store\n"
                f"store, seen = report_store.configured(os.environ), pathlib.Path('{SEEN}/seen')\n"
            )
            line = [
                *("podman", "run", "--rm", "--user=root", f"--network={network()}"),
                *("--volume", f"{project()}:/runner/project:ro", "--volume", f"{folder}:{SEEN}"),
                *(f"--env={name}={value.format_map(paths)}" for name, value in found["environment"].items()),
                *(image(), "python3", "-c", begin + source),
            ]
            done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout, contents(folder / "seen")

    def run(self, name: str) -> dict[str, bytes]:
        """The files of a run, as rclone brings them back; each is what its sum says."""
        found = self.python(f"subprocess.run(['rclone', 'copy', store.at('{name}'), str(seen)], check=True)")[1]
        sums = [line.split("  ") for line in found.pop("SHA256SUMS").decode().splitlines()]
        assert {path: digest for digest, path in sums} == {
            path: hashlib.sha256(content).hexdigest() for path, content in found.items()
        }
        return found


@pytest.fixture(scope="module", autouse=True)
def serving() -> Iterator[concurrent.futures.Future[tuple[Machine, str, str]]]:
    """A host with an object store, its secret and its certificate; made while the tests with SFTP are running."""

    def serve() -> tuple[Machine, str, str]:
        lab("up", SERVER)
        host, secret = Machine(SERVER), secrets.token_hex(16)
        return host, secret, kijun_s3.serve(host, host.address, secret)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(serve)


@pytest.fixture(scope="module")
def s3(serving: concurrent.futures.Future[tuple[Machine, str, str]]) -> Iterator[Place]:
    host, secret, certificate = serving.result()
    configuration = (
        f"[store]\ntype = s3\nprovider = Other\nendpoint = https://{host.address}:{kijun_s3.PORT}\nregion = lab\n"
        f"access_key_id = {kijun_s3.KEY_ID}\nsecret_access_key = {secret}\n"
    )
    yield Place({"place": PLACE, "configuration": configuration, "known_hosts": "", "authority": certificate}, secret)
    kijun_s3.stop(host, purge=False)


@pytest.fixture(scope="module")
def sftp(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    key = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public, private = (path.read_text("ascii") for path in (key.with_suffix(".pub"), key))
    machine.ok(f"useradd -m {USER} && install -d -m 700 -o {USER} ~{USER}/.ssh")
    machine.ok(f"echo '{public.strip()}' > ~{USER}/.ssh/authorized_keys && chown {USER} ~{USER}/.ssh/authorized_keys")
    pem = private.replace("\n", "\\n")
    configuration = f"[store]\ntype = sftp\nhost = {machine.address}\nuser = {USER}\nkey_pem = {pem}\n"
    known = identity.KNOWN_HOSTS.read_text("ascii")
    secret = private.splitlines()[3]
    yield Place({"place": PLACE, "configuration": configuration, "known_hosts": known, "authority": ""}, secret)
    machine.run(f"pkill -KILL -u {USER}; userdel -rf {USER}")


@pytest.fixture(scope="module")
def inventory(machine: Machine) -> dict[str, Any]:
    """The lab's inventory with two hosts alone."""
    whole, names = lab_inventory(), (machine.name, SERVER)
    found = {**whole, "_meta": {"hostvars": {name: whole["_meta"]["hostvars"][name] for name in names}}}
    for name in set(found) - {"_meta"}:
        kept = [one for one in found[name].get("hosts", []) if one in names]
        found[name] = {**found[name], "hosts": kept}
    return found


def audited(place: Place, inventory: dict[str, Any], number: int, **more: Any) -> Result:
    """Audit in a container of its own; nobody sees the secret."""
    job = run_job(
        "playbooks/audit.yml",
        {},
        inventory=inventory,
        credentials=place.credentials(**more.pop("environment", {})),
        variables={"awx_job_id": number},
        tags="authentication",
        **more,
    )
    assert job.ok, job.stdout + job.stderr
    assert place.secret not in json.dumps(job.events) + job.stdout + json.dumps(job.artifacts) + job.stderr
    assert len(json.dumps(job.artifacts)) < LARGEST_ARTIFACTS
    return job


def stored(job: Result) -> list[str]:
    """Where a job says that it left something, below the store's folder."""
    return [line.partition(f"{PLACE}/")[2] for line in job.stdout.splitlines() if line.startswith(f"Stored: {PLACE}/")]


def evidence(job: Result) -> dict[str, Any]:
    """The controls of each host that the job itself told AWX of."""
    results = [event.get("event_data", {}).get("res", {}) for event in job.events if event["event"] == "runner_on_ok"]
    return {one["evidence"]["host"]["name"]: one["evidence"]["controls"] for one in results if "evidence" in one}


def same(files: dict[str, bytes], told: dict[str, Any]) -> None:
    """The records are what the jobs told, for every host, and the pages are there."""
    records = [json.loads(content) for path, content in files.items() if path.startswith("hosts/")]
    assert {record["host"]["name"]: record["controls"] for record in records} == told
    assert set(files) == {*(f"hosts/{name}.json" for name in told), "report.html", "junit.xml"}


def test_an_audit_is_on_an_sftp_host_as_it_was_found(sftp: Place, inventory: dict[str, Any], machine: Machine) -> None:
    job = audited(sftp, inventory, 4720, limit=machine.name)
    (run,) = stored(job)
    files = sftp.run(run)
    same(files, evidence(job))
    # As the host itself has them.
    folder = f"~{USER}/{PLACE.partition(':')[2]}/{run}"
    machine.ok(f"cd {folder} && sha256sum --check --strict --quiet SHA256SUMS")
    assert hashlib.sha256(files["report.html"]).hexdigest() in machine.ok(f"sha256sum {folder}/report.html")


def test_a_report_of_a_job_is_in_a_folder_of_its_own(sftp: Place) -> None:
    with shared_folder() as folder:
        migrate.upgrade(f"sqlite:///{folder}/ledger.sqlite")
        (folder / "ledger.sqlite").chmod(0o666)
        job = run_job(
            "playbooks/media_report.yml",
            {},
            inventory={"all": {"hosts": []}, "_meta": {"hostvars": {}}},
            credentials=sftp.credentials(KIJUN_LEDGER_URL="sqlite:////ledger/ledger.sqlite"),
            variables={"awx_job_id": 4730, "media_directory": f"{REPORTS}/media"},
            volumes=[(folder, "/ledger")],
        )
    assert job.ok, job.stdout + job.stderr
    (place,) = stored(job)
    assert place.startswith("media/")
    assert place.endswith("Z-4730")
    assert set(sftp.run(place)) == {"media.csv", "media.html", "media.xlsx"}


AGAIN = """
here = seen / "20260101T000000Z-1"
here.mkdir()
(here / "page.html").write_text("first")
store.keep({here.name + "/page.html": here / "page.html"})
for text in ("first", "second"):
    (here / "page.html").write_text(text)
    try:
        store.keep({here.name + "/page.html": here / "page.html"})
    except report_store.StoreError as error:
        print(error)
(here / "page.html").unlink()
here.rmdir()
print(store.fetch([here.name], seen), store.runs()[0])
"""


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_what_is_kept_is_never_overwritten(kind: str, machine: Machine, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    said, seen = place.python(AGAIN)
    assert said.count(f"{PLACE}/20260101T000000Z-1 is there already; what is kept is never overwritten") == 2
    assert seen == {"20260101T000000Z-1/page.html": b"first"}


def test_slices_that_share_nothing_are_one_report_in_an_object_store(s3: Place, inventory: dict[str, Any]) -> None:
    told, controls = dict[str, Any](), dict[str, Any]()
    for number in (1, 2):
        job = audited(s3, inventory, 4710 + number, job_slice=(number, 2))
        assert job.artifacts["kijun_report_store"] == PLACE
        (run,) = stored(job)
        assert run.endswith(f"Z-{4710 + number}")
        told, controls = told | job.artifacts, controls | evidence(job)
    assert len(controls) == 2
    job = run_job("playbooks/audit_merge.yml", {}, inventory=inventory, credentials=s3.credentials(), variables=told)
    assert job.ok, job.stdout + job.stderr
    assert s3.secret not in json.dumps(job.events) + job.stdout
    run = Path(job.artifacts["kijun_audit_run"]).name
    assert stored(job) == [run]
    same(s3.run(run), controls)


def test_a_store_that_is_away_is_told_and_the_job_ends(s3: Place, inventory: dict[str, Any], machine: Machine) -> None:
    # Nobody has this address in the lab's network.
    network_of_lab = machine.address.rpartition(".")[0]
    text = s3.inputs["configuration"].replace(f"https://{Machine(SERVER).address}", f"https://{network_of_lab}.251")
    away = dataclasses.replace(s3, inputs={**s3.inputs, "configuration": text})
    job = audited(
        away, inventory, 4740, limit=machine.name, environment={"KIJUN_REPORT_STORE_SECONDS": "5"}, timeout=60
    )
    assert "what this run left was NOT kept in the report store: " in job.words
    assert not stored(job)
    assert f"Report: {REPORTS}/" in job.stdout
