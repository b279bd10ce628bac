# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts against what the host's own programs and libraries make of the same files."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.host_python import IMPORTS, archive

from .conftest import Machine

STACKS = 600

LIBPAM = (
    IMPORTS
    + r"""
import ctypes, json, pathlib, random, shutil, tempfile

from kijun.facts.host import Host
from kijun.facts.pam_stack import Reader, decide

RESULTS = ("success", "success", "auth_err", "ignore", "new_authtok_reqd", "user_unknown")
ACTIONS = ("ok", "done", "bad", "die", "ignore", "reset", "1", "2", "3")
NAMES = ("success", "auth_err", "ignore", "new_authtok_reqd", "default")
CODES = {{0: "success", 6: "perm_denied", 7: "auth_err", 10: "user_unknown", 12: "new_authtok_reqd", 25: "ignore"}}
chance = random.Random({seed})


# Debian's libpam looks for what is included below /etc/pam.d, unless its path is given.
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "other").write_text("auth required pam_deny.so\n")
ODD = (
    "", "# auth sufficient pam_permit.so", "#\\", "account required pam_deny.so", "auth", "auth sufficient",
    "auht required pam_permit.so", "auth suficient pam_permit.so", "auth include %s/gone" % folder,
)


def control():
    kind = chance.random()
    if kind < 0.5:
        word = chance.choice(("required", "requisite", "sufficient", "optional"))
        return chance.choice((word, word, word.upper(), "[%s]" % word))
    equals = lambda: chance.choice(("=", "=", " = ", "= "))
    pairs = [chance.choice(NAMES) + equals() + chance.choice(ACTIONS) for _ in range(chance.randint(1, 4))]
    if kind < 0.55 and " " not in pairs[0]:
        return pairs[0]
    return "[%s]" % chance.choice((" ", "  ")).join(pairs)


def line(depth):
    kind = chance.random()
    if depth and kind < 0.25:
        return "%s %s/sub-NUMBER-%d" % (chance.choice(("@include", "auth include", "auth substack")), folder, depth)
    if kind < 0.35:
        return chance.choice(ODD)
    words = [chance.choice(("auth", "-auth", "AUTH")), control(), "pam_debug.so", "auth=" + chance.choice(RESULTS)]
    text = chance.choice((" ", "\t", "  ", " \\\n  ")).join(words)
    return text + chance.choice(("", "", "", "", "  # and \\", " #x"))


def stack(depth):
    return "\n".join(line(depth) for _ in range(chance.randint(1, 6))) + chance.choice(("\n", ""))


for number in range({stacks}):
    for name, depth in (("sub-%s-1", 0), ("sub-%s-2", 1), ("s%s", 2)):
        (folder / (name % number)).write_text(stack(depth).replace("NUMBER", str(number)))

pam = ctypes.CDLL("libpam.so.0")
Talk = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
silent = Talk(lambda *_: 0)


class Conversation(ctypes.Structure):
    _fields_ = [("talk", Talk), ("data", ctypes.c_void_p)]


def really(service):
    handle = ctypes.c_void_p()
    conversation = Conversation(silent, None)
    code = pam.pam_start_confdir(
        service.encode(), b"nobody", ctypes.byref(conversation), str(folder).encode(), ctypes.byref(handle))
    if code:  # libpam gives such a service up as a whole
        return "given up"
    code = pam.pam_authenticate(handle, 0)
    pam.pam_end(handle, code)
    return CODES[code]


def returned(step):
    return "auth_err" if step.module == "pam_deny.so" else (step.arguments or ["auth=success"])[0][len("auth="):]


def simulated(service):
    reader = Reader(Host())
    steps = reader.stack(str(folder / service), "auth") or reader.stack(str(folder / "other"), "auth")
    return decide(steps, returned).result


counts, wrong = {{}}, []
for number in range({stacks}):
    service = "s%d" % number
    real, ours = really(service), simulated(service)
    counts[real] = counts.get(real, 0) + 1
    if real != ours and (real != "given up" or ours == "success"):
        files = {{name: (folder / name).read_text() for name in (service, "sub-%d-2" % number, "sub-%d-1" % number)}}
        wrong.append({{"real": real, "ours": ours, **files}})
shutil.rmtree(folder)
print(json.dumps([counts, wrong]))
"""
)


LIBPWQUALITY = """
import ctypes, json
library = ctypes.CDLL("libpwquality.so.1")
library.pwquality_default_settings.restype = ctypes.c_void_p
settings = ctypes.c_void_p(library.pwquality_default_settings())
assert library.pwquality_read_config(settings, None, ctypes.byref(ctypes.c_void_p())) == 0
def value(number):
    found = ctypes.c_int()
    assert library.pwquality_get_int_value(settings, number, ctypes.byref(found)) == 0
    return found.value
print(json.dumps({{name: value(number) for name, number in {numbers}.items()}}))
"""
READER = (
    IMPORTS
    + """\
import json
from kijun.facts.{module} import {fact}
from kijun.facts.host import Host
print(json.dumps({fact}(Host(), set())))
"""
)
NUMBERS = {
    "difok": 1,
    "minlen": 3,
    "dcredit": 4,
    "ucredit": 5,
    "lcredit": 6,
    "ocredit": 7,
    "minclass": 8,
    "maxrepeat": 9,
    "dictcheck": 15,
    "usercheck": 16,
    "enforcing": 17,
    "retry": 18,
    "enforce_for_root": 19,
    "local_users_only": 20,
}
"""Settings, and their numbers in pwquality.h."""


def read(machine: Machine, module: str, fact: str) -> dict[str, Any]:
    """Read a fact on the host."""
    shipped = archive(("verdict.py", "facts/*.py"))
    return json.loads(machine.python(READER.format(archive=shipped, module=module, fact=fact)))


@pytest.fixture
def pwquality_files(machine: Machine) -> Iterator[None]:
    """Files of pwquality that contradict each other, in the forms that lines may have."""
    folder = "/etc/security/pwquality.conf"
    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends libpam-pwquality"
    machine.ok(f"dpkg -s libpam-pwquality >/dev/null || {install} || (apt-get -qq update && {install})")
    machine.ok(f"mkdir -p {folder}.d && cp -a {folder} /run/pwquality.before")
    texts = {
        f"{folder}.d/20-last.conf": "minlen = 20\nucredit = -1\nlcredit = -2\ndcredit=3",
        f"{folder}.d/10-first.conf": "minlen 10\nucredit=5\nenforce_for_root\n",
        f"{folder}.d/99-not.txt": "minlen = 99\n",
        folder: "  minlen  =15 # remark\n#minlen = 1\n\nocredit\t-1\nmaxrepeat = 3\n",
    }
    for path, text in texts.items():
        machine.ok(f"printf %s {shlex.quote(text)} > {path}")
    yield
    machine.ok(f"rm -f {folder}.d/10-first.conf {folder}.d/20-last.conf {folder}.d/99-not.txt")
    machine.ok(f"cat /run/pwquality.before > {folder}")


def test_settings_of_pwquality_are_what_its_library_reads(machine: Machine, pwquality_files: None) -> None:
    real = json.loads(machine.python(LIBPWQUALITY.format(numbers=NUMBERS)))
    ours = read(machine, "pam", "pwquality")
    assert {name: int(ours.get(name) or 0) for name in NUMBERS} == real
    assert (real["minlen"], real["ucredit"], real["lcredit"], real["ocredit"]) == (15, -1, -2, -1)


def test_settings_of_an_sshd_that_does_not_run_are_read(machine: Machine) -> None:
    running = read(machine, "sshd", "sshd")
    assert running["permitemptypasswords"] == "no"
    shipped = archive(("verdict.py", "facts/*.py"))
    source = READER.format(archive=shipped, module="sshd", fact="sshd")
    # The folder is away for this one process, as where sshd does not run.
    stopped = f"mount -t tmpfs none /run && exec python3 -c {shlex.quote(source)}"
    assert json.loads(machine.ok(f"unshare --mount sh -c {shlex.quote(stopped)}")) == running
    assert machine.ok("stat -c %F /run/sshd") == "directory\n"


def test_the_simulation_decides_as_libpam_does(machine: Machine) -> None:
    seed = int(os.environ.get("KIJUN_SEED", "20261121"))
    shipped = archive(("verdict.py", "facts/__init__.py", "facts/host.py", "facts/pam_stack.py"))
    counts, wrong = json.loads(machine.python(LIBPAM.format(archive=shipped, seed=seed, stacks=STACKS)))
    assert not wrong, f"{len(wrong)} of {STACKS} stacks, seed {seed}; the first: {json.dumps(wrong[0], indent=1)}"
    assert sum(counts.values()) == STACKS
    assert min(counts["success"], counts["perm_denied"], counts["new_authtok_reqd"]) > STACKS / 20, counts
