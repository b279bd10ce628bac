# SPDX-License-Identifier: GPL-3.0-or-later
"""The report store, by rclone itself: what comes to it is whole, stays as it is, and comes back as it was."""

from __future__ import annotations

import datetime
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.report_store import (
    Store,
    StoreError,
    configured,
    name_in_store,
)
from kijun_store import PLACE, contents, directory_store
from kijun_tools import tree

RUN = "20261121T101500Z-4711"
SECRET = "wJalrXUtnFEMI-K7MDENG"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return directory_store(tmp_path)[0]


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / "far" / "kijun" / "reports"


@pytest.fixture
def store(environment: dict[str, str]) -> Store:
    found = configured(environment)
    assert found is not None
    return found


def made(directory: Path, **files: str) -> dict[str, Path]:
    """Files of one run: path in the store -> file."""
    found = {}
    for name, text in {
        "hosts__a.json": "{}\n",
        "hosts__ホスト.json": "基準\n",
        "page.html": "<p>" * 999,
        **files,
    }.items():
        path = directory / RUN / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        found[f"{RUN}/{path.relative_to(directory / RUN)}"] = path
    return found


# ---- which one ----


def test_without_the_variable_there_is_none() -> None:
    assert configured({}) is None
    assert configured({"KIJUN_REPORT_STORE": ""}) is None


@pytest.mark.parametrize(
    "value",
    ["reports", "/srv/reports", "store:", "store:/", ":local:/srv", "store:../x", "store:a/../b", "store:a\nb", "-x:y"],
)
def test_a_value_that_is_no_folder_of_a_remote_is_named(environment: dict[str, str], value: str) -> None:
    with pytest.raises(StoreError) as caught:
        configured({**environment, "KIJUN_REPORT_STORE": value})
    assert str(caught.value) == (
        f"KIJUN_REPORT_STORE is {value!r}; it must be REMOTE:PATH, such as store:kijun/reports (clause SM-5-1)"
    )


def test_a_secret_in_the_value_is_not_told(environment: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="it must be REMOTE:PATH") as caught:
        configured({**environment, "KIJUN_REPORT_STORE": f":s3,secret_access_key={SECRET}:bucket"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("seconds", ["4", "7201", "soon", "-1", "1.5"])
def test_seconds_have_limits(environment: dict[str, str], seconds: str) -> None:
    with pytest.raises(StoreError, match=r"KIJUN_REPORT_STORE_SECONDS is .* from 5 to 7200 \(clause SM-5-1\)"):
        configured({**environment, "KIJUN_REPORT_STORE_SECONDS": seconds})


def test_a_remote_that_is_not_configured_is_named_with_those_that_are(environment: dict[str, str]) -> None:
    with pytest.raises(StoreError, match=r"'other:x'; its remote must be one of those in RCLONE_CONFIG .* are: store"):
        configured({**environment, "KIJUN_REPORT_STORE": "other:x"})


def test_a_configuration_that_is_none_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="rclone cannot read RCLONE_CONFIG"):
        configured({**environment, "RCLONE_CONFIG": str(tmp_path)})


def test_without_rclone_it_is_said_what_to_install(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="install Debian's package rclone"):
        configured({**environment, "PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ("type = sftp\nhost = store.example.com\n", "known_hosts_file is '', so that anybody could be its host"),
        (
            "type = sftp\nhost = store.example.com\nknown_hosts_file = /dev/null\n",
            "it must be a file that has the host's key",
        ),
        ("type = s3\nendpoint = http://s3.example.com\n", r"must begin with https://"),
    ],
)
def test_a_store_that_anybody_could_be_is_refused(environment: dict[str, str], remote: str, said: str) -> None:
    Path(environment["RCLONE_CONFIG"]).write_text(f"[store]\n{remote}", "utf-8")
    with pytest.raises(StoreError, match=said):
        configured(environment)


def test_a_remote_may_be_configured_by_the_environment(tmp_path: Path, environment: dict[str, str]) -> None:
    more = {"RCLONE_CONFIG_ENV_TYPE": "alias", "RCLONE_CONFIG_ENV_REMOTE": str(tmp_path / "env")}
    store = configured({**environment, **more, "KIJUN_REPORT_STORE": "env:x"})
    assert store is not None
    store.keep(made(tmp_path / "here"))
    assert (tmp_path / "env" / "x" / RUN / "page.html").is_file()


# ---- there and back ----


def test_what_is_kept_is_there_byte_for_byte_with_its_sums(store: Store, far: Path, tmp_path: Path) -> None:
    files = made(tmp_path / "here")
    assert store.keep(files) == [f"{PLACE}/{RUN}"]
    there = contents(far)
    assert there.pop(f"{RUN}/SHA256SUMS")
    assert there == {name: path.read_bytes() for name, path in files.items()}
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=far / RUN, capture_output=True)
    assert checked.returncode == 0
    assert store.runs() == [RUN]
    (tmp_path / "back").mkdir()
    assert store.fetch([RUN], tmp_path / "back") == [tmp_path / "back" / RUN]
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "back").rglob("*"))


def test_a_store_without_any_run_is_none_that_fails(store: Store) -> None:
    assert store.runs() == []


@pytest.mark.parametrize("how", ["the same", "another", "beside"])
def test_a_run_that_is_there_is_never_written_to(store: Store, far: Path, tmp_path: Path, how: str) -> None:
    store.keep(made(tmp_path / "here"))
    before = contents(far)
    other = {"the same": {}, "another": {"page.html": "other"}, "beside": {"more.html": "new"}}[how]
    with pytest.raises(StoreError, match=f"{RUN} is there already; what is kept is never overwritten"):
        store.keep(made(tmp_path / "other", **other))
    assert contents(far) == before


def test_a_file_that_is_there_is_not_overwritten_also_where_its_run_is_not_whole(
    store: Store, far: Path, tmp_path: Path
) -> None:
    files = made(tmp_path / "here")
    (far / RUN).mkdir(parents=True)
    (far / RUN / "page.html").write_text("somebody's", "utf-8")
    with pytest.raises(StoreError, match="immutable file modified"):
        store.keep(files)
    assert (far / RUN / "page.html").read_text("utf-8") == "somebody's"
    # What was cut off is gone on with.
    (far / RUN / "page.html").unlink()
    store.keep(files)
    assert (far / RUN / "SHA256SUMS").is_file()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "SHA256SUMS").unlink(), "is not whole"),
        (lambda run: (run / "page.html").unlink(), "has not the files"),
        (lambda run: (run / "hosts" / "b.json").write_text("{}"), "has not the files"),
        (lambda run: (run / "hosts" / "a.json").write_text("[]\n"), "is not what was copied"),
    ],
)
def test_what_is_not_whole_is_not_taken(store: Store, far: Path, tmp_path: Path, spoil: object, said: str) -> None:
    store.keep(made(tmp_path / "here"))
    spoil(far / RUN)  # type: ignore[operator]
    (tmp_path / "back").mkdir()
    with pytest.raises(StoreError, match=said):
        store.fetch([RUN], tmp_path / "back")


def test_a_run_that_is_not_there_is_named(store: Store, far: Path, tmp_path: Path) -> None:
    far.mkdir(parents=True)
    with pytest.raises(StoreError, match=f"{PLACE}/{RUN} is not whole"):
        store.fetch([RUN], tmp_path)


def test_evidence_of_some_hosts_comes_alone_and_not_from_long_ago(store: Store, tmp_path: Path) -> None:
    store.keep(made(tmp_path / "here"))
    (tmp_path / "back").mkdir()
    store.fetch_records(["a.json", "none.json"], datetime.date(2026, 11, 22), tmp_path / "back")
    assert contents(tmp_path / "back") == {}
    store.fetch_records(["a.json", "none.json"], datetime.date(2026, 11, 21), tmp_path / "back")
    assert contents(tmp_path / "back") == {f"{RUN}/hosts/a.json": b"{}\n"}


def test_evidence_that_was_altered_is_not_taken(store: Store, far: Path, tmp_path: Path) -> None:
    store.keep(made(tmp_path / "here"))
    (far / RUN / "hosts" / "a.json").write_text('{"controls": []}', "utf-8")
    (tmp_path / "back").mkdir()
    with pytest.raises(StoreError, match="is not what was copied"):
        store.fetch_records(["a.json"], datetime.date(2026, 11, 21), tmp_path / "back")


def test_the_folders_of_reports_are_the_stores_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reports = tmp_path / "reports"
    assert name_in_store(reports / "malware" / "m.html", "R", reports) == "malware/R/m.html"
    assert name_in_store(reports / "incidents" / "I-1" / "e.json", "R", reports) == "incidents/R/I-1/e.json"
    assert name_in_store(tmp_path / "handover" / "x.age", "R", reports) == "handover/R/x.age"
    assert name_in_store(Path("/srv/lists/media.csv"), "R", reports) == "lists/R/media.csv"


# ---- away ----


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def s3(environment: dict[str, str], port: int) -> Store:
    text = f"[store]\ntype = s3\nprovider = Other\nendpoint = https://127.0.0.1:{port}\n"
    keys = f"access_key_id = AKIDEXAMPLE\nsecret_access_key = {SECRET}\n"
    Path(environment["RCLONE_CONFIG"]).write_text(text + keys, "utf-8")
    found = configured({**environment, "KIJUN_REPORT_STORE_SECONDS": "5"})
    assert found is not None
    assert SECRET not in repr(found)
    return found


def test_a_store_that_says_nothing_costs_no_more_than_its_time(
    environment: dict[str, str], mute: int, tmp_path: Path
) -> None:
    store = s3(environment, mute)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"did not answer within 5 s \(KIJUN_REPORT_STORE_SECONDS\)") as caught:
            store.keep(made(tmp_path / "here"))
        assert SECRET not in str(caught.value)
    assert time.monotonic() - began < 8


def test_a_store_that_refuses_is_told_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    store = s3(environment, 9)
    with pytest.raises(StoreError, match="connection refused") as caught:
        store.keep(made(tmp_path / "here"))
    assert SECRET not in str(caught.value)


def test_a_secret_in_what_rclone_says_is_hidden(environment: dict[str, str], tmp_path: Path) -> None:
    blocked = tmp_path / f"a-{SECRET}"
    blocked.touch()
    Path(environment["RCLONE_CONFIG"]).write_text(
        f"[store]\ntype = alias\nremote = {blocked}\ntoken = {SECRET}\n", "utf-8"
    )
    store = configured(environment)
    assert store is not None
    with pytest.raises(StoreError, match=r"\*\*\*") as caught:
        store.keep(made(tmp_path / "here"))
    assert SECRET not in str(caught.value)


def test_settings_for_other_uses_of_rclone_do_not_matter(
    environment: dict[str, str], far: Path, tmp_path: Path
) -> None:
    others = {"RCLONE_DRY_RUN": "true", "RCLONE_VERBOSE": "2", "RCLONE_DUMP": "auth", "RCLONE_EXCLUDE": "*"}
    store = configured({**os.environ, **environment, **others})
    assert store is not None
    store.keep(made(tmp_path / "here"))
    assert len(contents(far)) == 4


# ---- what writes ----

WRITES = re.compile(r"\b(write_page|write_states|write_sheets|written_whole|O_CREAT)\b")


def test_whatever_leaves_files_for_people_says_so() -> None:
    writers = [file for file in (tree.ROOT / "plugins/action").glob("*.py") if WRITES.search(file.read_text("utf-8"))]
    assert len(writers) >= 9
    assert [file.name for file in writers if "kept_files.note(" not in file.read_text("utf-8")] == []
    fetching = [file for file in (tree.ROOT / "playbooks").glob("*.yml") if ".fetch:" in file.read_text("utf-8")]
    assert [file.name for file in fetching if "kijun.baseline.kept_files:" not in file.read_text("utf-8")] == []
