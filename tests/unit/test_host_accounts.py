# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a host in a tree of files: what is read, worked out, put in place, and left by a kill at every step."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.kijun.baseline.plugins.action.accounts import accounts_of
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.ledger import ledger
from ansible_collections.kijun.baseline.plugins.module_utils.host_accounts import activity, keys, sudo, weak
from ansible_collections.kijun.baseline.plugins.module_utils.host_accounts.apply import apply
from ansible_collections.kijun.baseline.plugins.module_utils.host_accounts.databases import Table
from ansible_collections.kijun.baseline.plugins.module_utils.host_accounts.expected import parse_accounts
from ansible_collections.kijun.baseline.plugins.module_utils.host_accounts.state import read_state
from hypothesis import given
from hypothesis import strategies as st

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes accounts' files with their owners")

BLOB = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32) + bytes(range(32))
KEY = "ssh-ed25519 " + base64.b64encode(BLOB).decode()
FINGERPRINT = "SHA256:" + base64.b64encode(hashlib.sha256(BLOB).digest()).decode().rstrip("=")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nold:x:1000:1000:Sample Person:/home/old:/bin/sh\n+::::::\n",
    "etc/shadow": "root:*:20000:0:99999:7:::\nold:$6$salt$hash:20000:0:90:7:::\n",
    "etc/group": "root:x:0:\nold:x:1000:\nstaff:x:50:old\n",
    "etc/gshadow": "root:*::\nold:!::\nstaff:*::old\n",
    "etc/subuid": "old:100000:65536\n",
    "etc/subgid": "old:100000:65536\n",
    "etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\nPASS_MAX_DAYS 90\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\n",
    "etc/skel/.profile": "# profile\n",
    "bin/sh": "",
}
HASH = "$6$abcdefgh$0123456789"


@pytest.fixture
def root() -> Iterator[Path]:
    """A host's tree that its users can reach, as pytest's own directory is closed to them."""
    with tempfile.TemporaryDirectory(prefix="kijun-accounts-") as name:
        yield plant(Path(name))


def plant(folder: Path) -> Path:
    folder.chmod(0o755)
    for path, text in FILES.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (folder / "bin/sh").chmod(0o755)
    (folder / "etc/shadow").chmod(0o640)
    home = folder / "home/old"
    home.mkdir(parents=True)
    (home / "work").write_text("kept")
    (folder / "var/spool/cron/crontabs").mkdir(parents=True)
    (folder / "var/spool/cron/crontabs/old").write_text("* * * * * true\n")
    for path in (home, home / "work", folder / "var/spool/cron/crontabs/old"):
        os.chown(path, 1000, 1000)
    return folder


def account(login: str, **more: Any) -> dict[str, Any]:
    return {"login": login, "person": "Sample Person", "shell": "/bin/sh", **more}


def run(root: Path, *accounts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return apply({"accounts": list(accounts), "login_account": "root", "diff": True, **options}, str(root))


def lines(root: Path, path: str) -> dict[str, list[str]]:
    return {line.split(":")[0]: line.split(":") for line in (root / path).read_text().splitlines()}


# --- the whole


WISHES = (
    account("new", keys=[KEY], groups=["staff"], password_hash=HASH, expires=40000),
    account("old", state="locked"),
)


@as_root
def test_four_runs(root: Path) -> None:
    untouched = snapshot(root)
    foreseen = run(root, *WISHES, check=True)
    assert snapshot(root) == untouched
    done = run(root, *WISHES)
    assert done == foreseen
    assert (done["created"], done["locked"], done["passwords_set"]) == (["new"], ["old"], ["new"])
    assert HASH not in json.dumps(done) and "salt" not in json.dumps(done)
    for check in (True, False):
        again = run(root, *WISHES, check=check)
        assert (again["changed"], again["diff"], again["created"], again["locked"]) == (False, [], [], [])
    assert lines(root, "etc/passwd")["new"] == ["new", "x", "1001", "1001", "Sample Person", "/home/new", "/bin/sh"]
    assert (root / "etc/passwd").read_text().endswith("\n+::::::\n"), "the NIS entry must stay last"
    assert lines(root, "etc/shadow")["new"][1:8] == [HASH, "0", "0", "90", "7", "", "40000"]
    assert lines(root, "etc/shadow")["old"][1:8] == ["!$6$salt$hash", "20000", "0", "90", "7", "", "1"]
    assert lines(root, "etc/group")["staff"][3] == "old,new"
    assert lines(root, "etc/subuid")["new"][1:] == ["165536", "65536"]
    assert stat.S_IMODE((root / "etc/shadow").stat().st_mode) == 0o640
    key_file = root / "home/new/.ssh/authorized_keys"
    assert (key_file.read_text(), key_file.stat().st_uid, oct(key_file.stat().st_mode)[-3:]) == (
        KEY + "\n",
        1001,
        "600",
    )
    assert not (root / "var/spool/cron/crontabs/old").exists()
    back = run(root, account("old", groups=["staff"]))
    assert back["changed_accounts"] == {"old": ["unlocked", "expires", "crontab"]}
    assert (root / "var/spool/cron/crontabs/old").stat().st_uid == 1000


@as_root
@pytest.mark.parametrize("secret", ["$6$salt$hash", "!$6$salt$hash"])
def test_an_account_that_is_to_have_no_password_loses_it_and_is_never_unlocked_by_it(root: Path, secret: str) -> None:
    shadow = root / "etc/shadow"
    shadow.write_text(shadow.read_text().replace("old:$6$salt$hash:", f"old:{secret}:"))
    wish = account("old", groups=["staff"], password=False)
    assert run(root, wish)["changed_accounts"]["old"][0] == "password withdrawn"
    assert lines(root, "etc/shadow")["old"][1] == "*"
    assert run(root, wish)["changed"] is False


@as_root
def test_absent_archives_first(root: Path) -> None:
    gone = account("old", state="absent")
    foreseen = run(root, gone, check=True)
    assert run(root, gone) == foreseen
    assert foreseen["removed"] == ["old"]
    assert not any(b"old" in (root / f"etc/{name}").read_bytes() for name in ("passwd", "shadow", "group", "subuid"))
    assert not (root / "home/old").exists()
    (packed,) = (root / "var/lib/kijun/accounts/archive").iterdir()
    listed = subprocess.run(["tar", "-tzf", packed], capture_output=True, text=True, check=True).stdout.split()
    assert {"home/work", "held/crontab"} <= set(listed)
    assert run(root, gone)["changed"] is False
    # Nobody gets the id of somebody who left, as files may lie about under it.
    run(root, gone, account("first"))
    run(root, gone, account("first", state="absent"))
    run(root, gone, account("second"))
    assert lines(root, "etc/passwd")["second"][2] == "1002"


@as_root
def test_no_room_for_the_archive_is_a_refusal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(root)
    real = os.statvfs

    def full(path: Any) -> Any:
        values = list(real(path))
        values[4] = 1  # f_bavail
        return os.statvfs_result([*values, 0])

    monkeypatch.setattr(os, "statvfs", full)
    result = run(root, account("old", state="absent"))
    assert result["failed"] and "MiB are needed" in result["msg"]
    assert snapshot(root) == before


@as_root
@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (account("root"), "system"),
        (account("old", uid=1001), "it is 1000"),
        (account("new", uid=1000), "is that of old"),
        (account("new", uid=10), "UID_MIN"),
        (account("new", groups=["none"]), "does not exist"),
        (account("new", shell="/bin/none"), "no program"),
        (account("staff"), "group of this name"),
        (account("new", home="/no/where"), "no directory"),
        (account("new", home="/home/old"), "belongs to user id 1000"),
        (account("new", sudo=["ALL=ALL"]), "sudo is not installed"),
        (account("new", person="a\nb"), "control characters"),
        (account("new", password_hash="clear"), "crypt(5)"),
        (account("new", keys=[KEY + "\n" + KEY]), "control character"),
        (account("new", keys=["ssh-ed25519 AAAA"]), "no public key"),
        (account("new", sudo=["ALL=(root) /bin/ls\\"]), "no rule"),
        (account("new", sudo=[",x ALL=ALL"]), "no rule"),
        (account("New"), "login"),
    ],
)
def test_refusals(root: Path, wish: dict[str, Any], why: str) -> None:
    before = snapshot(root)
    result = run(root, wish, account("fine"))
    assert result["failed"] and result["changed"] is False
    assert why in result["msg"], result
    assert snapshot(root) == before


@as_root
def test_the_login_account_is_refused(root: Path) -> None:
    for state in ("present", "locked", "absent"):
        assert "logged in with" in run(root, account("old", state=state), login_account="old")["msg"]


@as_root
def test_an_id_shared_by_two_names_is_refused(root: Path) -> None:
    with (root / "etc/passwd").open("a") as file:
        file.write("twin:x:1000:1000::/home/old:/bin/sh\n")
    assert "shares its user id 1000 with twin" in run(root, account("old", state="locked"))["msg"]


# --- killed at every step


STEPS = ("rename", "unlink", "mkdir", "rmdir", "symlink", "fchown", "fsync", "chown", "link")
OLD_AND_NEW = ("etc/passwd", "etc/shadow", "etc/group", "etc/gshadow")


def snapshot(root: Path) -> dict[str, Any]:
    """Everything below the host's etc, home and spool: mode, owner, content."""
    found = {}
    for top in ("etc", "home", "var/spool"):
        for path in sorted((root / top).rglob("*")):
            info = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, content)
    found.pop("etc/.pwd.lock", None)
    return found


def killed_at(step: int, function: Callable[[], Any]) -> bool:
    """Call a function in a process that dies, with the one that waits for it, right before a step.

    Returns:
        Whether it came to that step.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] != 0
    os.setpgid(0, 0)
    first = os.getpid()
    reader, writer = os.pipe()
    os.write(writer, struct.pack("i", 0))
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name), step, first, reader, writer))
    function()
    os._exit(0)


def counted(original: Callable[..., Any], step: int, first: int, reader: int, writer: int) -> Callable[..., Any]:
    """Count calls over all processes of a run, in a pipe that they share; the one that is the step's kills them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        (count,) = struct.unpack("i", os.read(reader, 4))
        os.write(writer, struct.pack("i", count + 1))
        if count == step:
            os.kill(first, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    return call


@as_root
@pytest.mark.parametrize("wishes", [WISHES, (account("old", state="absent"),)], ids=["create and lock", "remove"])
def test_killed_at_every_step(wishes: tuple[dict[str, Any], ...]) -> None:
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    with tempfile.TemporaryDirectory(prefix="kijun-accounts-", dir=memory) as name:
        folder = Path(name)
        folder.chmod(0o755)
        plain = plant(make(folder / "plain"))
        assert "failed" not in run(plain, *wishes)
        expected = snapshot(plain)
        step, texts = 0, {path: set[bytes]() for path in OLD_AND_NEW}
        while True:
            host = plant(make(folder / "host"))
            killed = killed_at(step, lambda host=host: run(host, *wishes))
            if not killed:
                break
            files = {path: (host / path).read_bytes() for path in OLD_AND_NEW}
            for path, text in files.items():
                texts[path].add(text)
            packed = list((host / "var/lib/kijun/accounts/archive").glob("*.gz"))
            assert (host / "home/old/work").exists() or packed, f"step {step}: the home is gone and not archived"
            result = run(host, *wishes)
            assert "failed" not in result, f"step {step}: {result}"
            assert snapshot(host) == expected, f"step {step}"
            assert run(host, *wishes)["changed"] is False, f"step {step}"
            shutil.rmtree(host)
            step += 1
    assert step > 30
    assert all(len(found) <= 3 for found in texts.values()), "a file was neither old nor new"


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


# --- readers


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=200))
def test_a_table_keeps_what_it_does_not_understand(text: str) -> None:
    table = Table(text, 4)
    assert table.text().rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        KEY + " a comment with blanks",
        'from="192.0.2.*,198.51.100.1",command="echo \\"x y\\" z" ' + KEY + " c",
        "  " + KEY,
        "no-pty,restrict " + KEY,
    ],
)
def test_keys(line: str) -> None:
    found = keys.parse_line(line)
    assert found is not None
    assert (found.type, found.fingerprint) == ("ssh-ed25519", FINGERPRINT)
    assert keys.complaint(line) == ""


def test_a_fingerprint_is_the_one_of_ssh_keygen(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    told = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key"], capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == FINGERPRINT


@pytest.mark.parametrize(
    "line", ["", "# " + KEY, "ssh-ed25519", "ssh-rsa " + KEY.split()[1], "ssh-ed25519 AAAA", "x y z"]
)
def test_no_keys(line: str) -> None:
    assert keys.parse_line(line) is None


def spec(users: list[dict[str, Any]], commands: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"User_List": users, "Host_List": [{"hostname": "ALL"}], "Cmnd_Specs": [{"Commands": commands, **more}]}


ALL = {"command": "ALL"}
ROOT_USER = {"runasusers": [{"username": "root"}]}


@pytest.mark.parametrize(
    ("specs", "admin"),
    [
        ([], False),
        ([spec([{"username": "a"}], [ALL])], True),
        ([spec([{"username": "a"}], [ALL], **ROOT_USER)], True),
        ([spec([{"username": "a"}], [ALL], runasusers=[{"username": "b"}])], False),
        ([spec([{"username": "a"}], [{"command": "/bin/ls"}])], False),
        ([spec([{"usergroup": "g"}], [ALL])], True),
        ([spec([{"usergid": 7}], [ALL])], True),
        ([spec([{"userid": 5}], [ALL])], True),
        ([spec([{"username": "ALL"}, {"username": "a", "negated": True}], [ALL])], False),
        ([spec([{"username": "a"}], [ALL]), spec([{"username": "a"}], [{**ALL, "negated": True}])], False),
        ([{**spec([{"username": "a"}], [ALL]), "Host_List": [{"hostname": "another.example.com"}]}], False),
        ([spec([{"username": "a"}], [ALL], runasgroups=[{"usergroup": "g"}])], False),
    ],
)
def test_who_may_become_root(specs: list[Any], admin: bool) -> None:
    assert sudo.is_admin(specs, "a", 5, {"g"}, {"7"}) is admin


@pytest.mark.parametrize(
    ("rule", "normal"),
    [
        ("ALL = (root)  NOPASSWD:/usr/bin/id,/bin/ls", "ALL=(root) NOPASSWD: /usr/bin/id, /bin/ls"),
        ("ALL=(ALL : ALL) ALL", "ALL=(ALL:ALL) ALL"),
        ("ALL=ALL", "ALL=ALL"),
        ("ALL=(root) /bin/x a\\,b", "ALL=(root) /bin/x a\\,b"),
    ],
)
def test_rules_with_the_same_blanks(rule: str, normal: str) -> None:
    assert sudo.normalised(rule) == normal
    assert sudo.normalised(normal) == normal


def test_a_rule_as_it_is_shown() -> None:
    options = {"Options": [{"authenticate": False}]}
    one = spec(
        [{"username": "a"}], [{"command": "/bin/x a,b"}, {"command": "/bin/y", "negated": True}], **ROOT_USER, **options
    )
    assert sudo.rule_text(one) == "ALL=(root) NOPASSWD: /bin/x a\\,b, !/bin/y"


def hashed(password: str) -> str:
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


def test_weak_passwords_are_found_and_never_told() -> None:
    hashes = {
        "tanaka": hashed("tanaka"),
        "suzuki": hashed("Sample1"),
        "sato": hashed("Sales123"),
        "ito": hashed("qwerty"),
        "kato": hashed("Xq!9vv-Kurobe-77"),
    }
    people = {"suzuki": {"person": "Sample Person"}, "sato": {"department": "Sales"}}
    found, untried = weak.find_weak(hashes, people, 40, 60)
    assert found == {
        "tanaka": "equals the login name",
        "suzuki": "is made from the person's name",
        "sato": "is made from the department's name",
        "ito": "is one of the worst passwords",
    }
    assert untried == 0
    assert weak.find_weak(hashes, people, 40, 0) == ({}, 5)


def test_guesses_are_bounded_and_fair() -> None:
    found = weak.guesses("tanaka", "Sample Person", "General Affairs", 40, 2030)
    assert len(found) == len({guess.password for guess in found}) == 40
    assert {"Sample", "Person", "General", "Affairs", "Tanaka"} <= {guess.password for guess in found}


def test_login_records(host_with: Callable[[dict[str, str]], Host], tmp_path: Path) -> None:
    host = host_with({})
    log = tmp_path / "var/log"
    log.mkdir(parents=True)
    (log / "lastlog").write_bytes(bytes(292 * 7) + activity.LASTLOG_ENTRY.pack(1700000000, b"pts/0", b""))
    record = activity.WTMP_ENTRY.pack(7, 1, b"pts/1", b"", b"b", b"", 0, 0, 0, 1700000001, 5, 0, 0, 0, 0)
    assert len(record) == 384
    (log / "wtmp").write_bytes(record + bytes(100))
    assert activity.last_logins(host, {"a": 7, "b": 8, "c": 9}) == {
        "a": (1700000000, "lastlog"),
        "b": (1700000001, "wtmp"),
    }
    (tmp_path / "var/lib/wtmpdb").mkdir(parents=True)
    (tmp_path / "var/lib/wtmpdb/wtmp.db").write_text("no database, and longer than its header would be" * 9)
    assert activity.last_logins(host, {"a": 7})["a"] == (1700000000, "lastlog")
    assert host.problems_in("wtmpdb")


@as_root
def test_state_of_a_tree(root: Path) -> None:
    run(root, *WISHES)
    state = read_state(Host(str(root)))
    found = {one["name"]: one for one in state["accounts"]}
    assert [key["fingerprint"] for key in found["new"]["keys"]] == [FINGERPRINT]
    assert (found["new"]["groups"], found["new"]["password"], found["new"]["must_change"]) == (
        ["staff"],
        "usable",
        True,
    )
    assert (found["old"]["password"], found["old"]["expires"]) == ("locked", 1)
    assert found["root"]["system"] is True and found["root"]["admin"] is True
    assert state["managed"] == ["new", "old"]
    assert state["problems"] == []


@as_root
def test_the_fact(root: Path) -> None:
    host = Host(str(root))
    assert ledger(host, set())["present"] is False
    assert ledger(host, set())["unregistered"] == ["old"]
    run(root, *WISHES)
    clean = ledger(host, set())
    assert clean.pop("unused") == {"new": 0}
    assert clean.pop("never_changed") == {"new": 0}
    assert clean == {
        "present": True,
        "unregistered": [],
        "missing": [],
        "differing": {},
        "not_withdrawn": {},
        "shared_keys": {},
    }
    # Somebody works by hand: another group, a shell, a key for the locked one, a rogue account, one account gone.
    edit(root, "etc/group", "staff:x:50:old,new", "staff:x:50:old")
    edit(root, "etc/passwd", "/home/new:/bin/sh", "/home/new:/bin/bash")
    edit(root, "etc/shadow", "old:!", "old:")
    shutil.copytree(root / "home/new/.ssh", root / "home/old/.ssh")
    for path in (root / "home/old/.ssh", root / "home/old/.ssh/authorized_keys"):
        os.chown(path, 1000, 1000)
    edit(root, "etc/passwd", "+::::::", "rogue:x:1005:1005::/home/rogue:/bin/sh")
    found = ledger(host, set())
    assert found["differing"] == {"new": ["groups", "shell"]}
    assert found["not_withdrawn"] == {"old": ["password", "keys"]}
    assert found["unregistered"] == ["rogue"]
    assert found["shared_keys"] == {FINGERPRINT: ["old", "new"]}


def edit(root: Path, path: str, before: str, after: str) -> None:
    text = (root / path).read_text()
    assert before in text
    (root / path).write_text(text.replace(before, after))


# --- input


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
        max_leaves=8,
    )
)
def test_any_input_is_taken_or_refused(value: Any) -> None:
    accounts, problems = parse_accounts([{"login": "tanaka", **dict.fromkeys(("groups", "uid", "person"), value)}])
    assert bool(accounts) is not bool(problems)
    assert parse_accounts(value)[1] or value == []


def test_a_hosts_part_of_the_plan() -> None:
    plan = {
        "accounts": {"a": {"login": "a", "shell": "/bin/sh"}, "b": {"login": "b"}},
        "hosts": {"one": ["a"], "two": {"a": {"password_hash": "x"}, "b": None}, "none": []},
    }
    assert accounts_of(plan, "one") == [{"login": "a", "shell": "/bin/sh"}]
    assert accounts_of(plan, "two") == [{"login": "a", "shell": "/bin/sh", "password_hash": "x"}, {"login": "b"}]
    assert accounts_of(plan, "none") == []
    for wrong in ({"hosts": {}}, {**plan, "hosts": {}}, {**plan, "hosts": {"one": ["c"]}}):
        with pytest.raises(AnsibleActionFail):
            accounts_of(wrong, "one")
