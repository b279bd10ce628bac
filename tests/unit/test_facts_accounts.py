# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and login.defs: what is there, what is malformed, and what the C library would make of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts.accounts import (
    accounts,
    hash_scheme,
    login_defs,
    password_state,
)
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from hypothesis import given
from hypothesis import strategies as st

HostWith = Callable[[dict[str, str]], Host]

YESCRYPT = "$y$j9T$abcdefgh$0123456789abcdef"
TODAY = int(time.time() // 86400)
PASSWD = "root:x:0:0:root:/root:/bin/bash\nworker:x:1000:1000::/home/worker:/bin/bash\n"
SHADOW = f"root:*:20000:0:99999:7:::\nworker:{YESCRYPT}:{TODAY - 5}:0:90:14:::\n"
GROUP = "root:x:0:\nworker:x:1000:\n"


@pytest.fixture
def read(host_with: HostWith) -> Callable[..., dict[str, Any]]:
    def facts(passwd: str = PASSWD, shadow: str = SHADOW, group: str = GROUP) -> dict[str, Any]:
        return accounts(host_with({"/etc/passwd": passwd, "/etc/shadow": shadow, "/etc/group": group}), set())

    return facts


@pytest.mark.parametrize(
    ("field", "state"),
    [
        ("", "empty"),
        ("*", "none"),
        ("!", "none"),
        ("!!", "none"),
        ("!*", "none"),
        ("x", "none"),
        ("*LK*", "none"),
        ("!" * 13, "none"),
        ("*" * 13, "none"),
        ("!locked by hand", "none"),
        (YESCRYPT, "usable"),
        ("$6$salt$hash", "usable"),
        ("$1$salt$hash", "usable"),
        ("_J9..CCCCXBrJUJV154M", "usable"),
        ("ab0123456789.", "usable"),
        ("!" + YESCRYPT, "locked"),
        ("!!" + YESCRYPT, "locked"),
        ("!ab0123456789.", "locked"),
    ],
)
def test_what_the_password_field_means(field: str, state: str) -> None:
    assert password_state(field) == state


@given(st.text(max_size=20))
def test_any_password_field_has_a_state(field: str) -> None:
    assert password_state(field) in ("usable", "locked", "none", "empty")


@pytest.mark.parametrize(
    ("field", "scheme"),
    [
        (YESCRYPT, "yescrypt"),
        ("$gy$j9T$x$y", "gost-yescrypt"),
        ("$7$x$y", "scrypt"),
        ("$2b$10$x", "bcrypt"),
        ("$6$salt$hash", "sha512"),
        ("$5$salt$hash", "sha256"),
        ("$1$salt$hash", "md5"),
        ("$sha1$1$x$y", "sha1"),
        ("_J9..CCCCXBrJUJV154M", "bsdi"),
        ("ab0123456789.", "des"),
    ],
)
def test_hash_schemes(field: str, scheme: str) -> None:
    assert hash_scheme(field) == scheme


def test_accounts_of_an_ordinary_host(read: Callable[..., dict[str, Any]]) -> None:
    assert read() == {
        "names": ["root", "worker"],
        "uid_zero": ["root"],
        "duplicate_ids": {},
        "password_state": {"root": "none", "worker": "usable"},
        "empty_password": [],
        "hash_scheme": {"worker": "yescrypt"},
        "max_days": {"worker": 90},
        "password_age": {"worker": 5},
        "must_change": [],
        "malformed": [],
    }


@pytest.mark.parametrize(
    ("changed", "maximum", "effective"),
    [
        (str(TODAY), "90", 90),
        ("0", "90", 90),
        ("", "90", None),  # without a date of change there is no ageing at all
        (str(TODAY), "", None),
        (str(TODAY), "-1", None),
        (str(TODAY), "99999", None),
        (str(TODAY), "0", 0),
    ],
)
def test_the_maximum_age_in_force(
    read: Callable[..., dict[str, Any]], changed: str, maximum: str, effective: int | None
) -> None:
    found = read(shadow=f"root:*:::::::\nworker:{YESCRYPT}:{changed}:0:{maximum}:14:::\n")
    assert found["max_days"] == {"worker": effective}
    assert ("worker" in found["must_change"]) == (changed == "0")
    assert ("worker" in found["password_age"]) == (changed not in ("", "0"))


@pytest.mark.parametrize("field", ["!" + YESCRYPT, "*", "!"])
def test_accounts_without_a_usable_password_have_no_age(read: Callable[..., dict[str, Any]], field: str) -> None:
    found = read(shadow=f"root:*:::::::\nworker:{field}:20000:0:99999:7:::\n")
    assert (found["max_days"], found["password_age"], found["hash_scheme"]) == ({}, {}, {})


def test_an_empty_password_is_found_in_shadow(read: Callable[..., dict[str, Any]]) -> None:
    assert read(shadow="root:*:::::::\nworker::20000:0:90:7:::\n")["empty_password"] == ["worker"]


def test_a_password_in_passwd_itself_holds_whatever_shadow_says(read: Callable[..., dict[str, Any]]) -> None:
    found = read(passwd=PASSWD.replace("root:x", "root:").replace("worker:x", "worker:ab0123456789."))
    assert found["empty_password"] == ["root"]
    assert found["hash_scheme"] == {"worker": "des"}
    assert found["max_days"] == {"worker": None}


def test_an_account_without_a_shadow_line_has_no_password(read: Callable[..., dict[str, Any]]) -> None:
    found = read(shadow="root:*:::::::\n")
    assert found["password_state"] == {"root": "none", "worker": "none"}


@pytest.mark.parametrize("uid", ["0", "00", "-0"])
def test_a_second_root_is_found_however_it_is_written(read: Callable[..., dict[str, Any]], uid: str) -> None:
    found = read(passwd=PASSWD + f"toor:x:{uid}:0::/:/bin/sh\n")
    assert found["uid_zero"] == ["root", "toor"]
    assert found["duplicate_ids"] == {"0": ["root", "toor"]}


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        ("passwd", "evil:x:0:0::/root", "6 fields where 7 belong"),
        ("passwd", "evil:x:zero:0::/:/bin/sh", "field 3 is not a number"),
        ("passwd", "evil:x: 0:0::/:/bin/sh", "field 3 is not a number"),
        ("passwd", "evil:x:::x:/:/bin/sh", "field 3, 4 is not a number"),
        ("passwd", "evil:x:²:0::/:/bin/sh", "field 3 is not a number"),
        ("passwd", ":x:0:0::/:/bin/sh", "no name, or blanks around it"),
        ("passwd", " evil:x:0:0::/:/bin/sh", "no name, or blanks around it"),
        ("passwd", "worker:x:0:0::/:/bin/sh", "'worker' stands here a second time"),
        ("passwd", "# a comment", "1 fields where 7 belong"),
        ("passwd", "", "an empty line"),
        ("shadow", "worker2:*:--5:0:90:7:::", "field 3 is not a number"),
        ("shadow", "worker2:*:20000:0:90:7::", "8 fields where 9 belong"),
        ("shadow", f"worker:{YESCRYPT}:1:0:99999:7:::", "'worker' stands here a second time"),
        ("group", "sudo:x:27", "3 fields where 4 belong"),
        ("group", "sudo:x::", "field 3 is not a number"),
    ],
)
def test_a_malformed_line_is_told_and_the_others_are_read(
    read: Callable[..., dict[str, Any]], file: str, line: str, problem: str
) -> None:
    texts = {"passwd": PASSWD, "shadow": SHADOW, "group": GROUP}
    found = read(**{**texts, file: texts[file] + line + "\n" + ("" if file != "group" else "late:x:5:\n")})
    assert found["malformed"] == [f"/etc/{file}:3 {problem}"]
    assert found["names"] == ["root", "worker"]
    assert found["max_days"] == {"worker": 90}


def test_nis_entries_name_nobody(read: Callable[..., dict[str, Any]]) -> None:
    found = read(passwd=PASSWD + "+::::::\n-evil::::::\n")
    assert (found["names"], found["malformed"]) == (["root", "worker"], [])


def test_only_a_line_feed_ends_a_line(read: Callable[..., dict[str, Any]]) -> None:
    found = read(passwd=PASSWD + "evil:x:0:0:\x0b\x0c\r\x85\u2028:/root:/bin/sh\n")
    assert found["uid_zero"] == ["root", "evil"]


@pytest.mark.parametrize("missing", ["/etc/passwd", "/etc/shadow", "/etc/group"])
def test_without_one_of_the_files_nothing_is_told_of_accounts(host_with: HostWith, missing: str) -> None:
    files = {"/etc/passwd": PASSWD, "/etc/shadow": SHADOW, "/etc/group": GROUP}
    del files[missing]
    with pytest.raises(FileNotFoundError, match=missing):
        accounts(host_with(files), set())


def test_login_defs(host_with: HostWith) -> None:
    text = (
        "# PASS_MAX_DAYS 1\n  # PASS_MIN_DAYS 2\nPASS_MAX_DAYS\t99999\n\n  PASS_MAX_DAYS   90  \n"
        'ENCRYPT_METHOD "YESCRYPT"\nUMASK 022x\nALONE\n'
    )
    found = login_defs(host_with({"/etc/login.defs": text}), set())
    assert found["PASS_MAX_DAYS"] == 90
    assert found["ENCRYPT_METHOD"] == "YESCRYPT"
    assert found["UMASK"] == "022x"
    assert found["PASS_MIN_DAYS"] is None
    assert found["ALONE"] is None


def test_without_login_defs_nothing_is_told_of_it(host_with: HostWith) -> None:
    with pytest.raises(FileNotFoundError):
        login_defs(host_with({}), set())
