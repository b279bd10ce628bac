# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's simulation of PAM against libpam itself: random stacks of pam_debug(8), decided by both."""

from __future__ import annotations

import json
import os

from ansible_collections.kijun.baseline.plugins.plugin_utils.host_python import archive

from .conftest import Machine

STACKS = 600

ON_THE_HOST = r"""
import base64, ctypes, json, os, pathlib, random, shutil, sys, tempfile

fd = os.memfd_create("kijun")
os.write(fd, base64.b64decode("{archive}"))
sys.path.insert(0, "/proc/self/fd/%d" % fd)
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


def test_the_simulation_decides_as_libpam_does(machine: Machine) -> None:
    seed = int(os.environ.get("KIJUN_SEED", "20261121"))
    shipped = archive(("verdict.py", "facts/__init__.py", "facts/host.py", "facts/pam_stack.py"))
    counts, wrong = json.loads(machine.python(ON_THE_HOST.format(archive=shipped, seed=seed, stacks=STACKS)))
    assert not wrong, f"{len(wrong)} of {STACKS} stacks, seed {seed}; the first: {json.dumps(wrong[0], indent=1)}"
    assert sum(counts.values()) == STACKS
    assert min(counts["success"], counts["perm_denied"], counts["new_authtok_reqd"]) > STACKS / 20, counts
