# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates that are staged, not staged, held and late, on hosts that role security_updates has been applied to."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Machine

Audit = Callable[..., dict[str, dict[str, Any]]]

STATE = "/var/lib/kijun/updates.json"
SPOT = "/srv/kijuntest"
PACKAGES = {"kijuntest-staged": "Staged", "kijuntest-held": "Staged", "kijuntest-other": "Unstaged"}
"""Package -> label of the repository that holds its update."""

STAGED = {
    "security_updates_origins": ["origin=KijunTest,label=Staged"],
    "security_updates_security_origins": ["origin=KijunTest,label=Unst*"],
    "security_updates_held": ["kijuntest-h*"],
}

REPOSITORIES = f"""
import hashlib, os, subprocess
def built(name, version):
    tree = "{SPOT}/tree"
    os.makedirs(tree + "/DEBIAN"), os.makedirs(tree + "/etc")
    control = (f"Package: {{name}}\\nVersion: {{version}}\\nArchitecture: all\\nMaintainer: x\\n"
               "Description: a test of updates\\n")
    open(tree + "/DEBIAN/control", "w").write(control)
    open(tree + "/DEBIAN/conffiles", "w").write(f"/etc/{{name}}.conf\\n")
    open(tree + f"/etc/{{name}}.conf", "w").write(f"version {{version}}\\n")
    deb = f"{SPOT}/{{name}}_{{version}}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, deb], check=True)
    subprocess.run(["rm", "-r", tree], check=True)
    return control, deb
for label in {sorted(set(PACKAGES.values()))!r}:
    folder = "{SPOT}/" + label
    os.makedirs(folder)
    index = ""
    for name in [name for name, held_by in {PACKAGES!r}.items() if held_by == label]:
        subprocess.run(["dpkg", "-i", built(name, "1")[1]], check=True)
        control, deb = built(name, "2")
        os.rename(deb, f"{{folder}}/{{name}}.deb")
        data = open(f"{{folder}}/{{name}}.deb", "rb").read()
        digest = hashlib.sha256(data).hexdigest()
        index += control + f"Filename: ./{{name}}.deb\\nSize: {{len(data)}}\\nSHA256: {{digest}}\\n\\n"
    open(folder + "/Packages", "w").write(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    open(folder + "/Release", "w").write(
        f"Origin: KijunTest\\nLabel: {{label}}\\nCodename: test\\nSuite: test\\n"
        f"SHA256:\\n {{digest}} {{len(index)}} Packages\\n")
    open("/etc/apt/sources.list.d/kijuntest.list", "a").write(f"deb [trusted=yes] file:{{folder}} ./\\n")
"""


@pytest.fixture
def audit(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Audit the host, and return each control's record; settings are given by name."""

    def run(**settings: Any) -> dict[str, dict[str, Any]]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path))
        settled(machine)
        done = machine.playbook("audit", "--tags", "patching", "-e", json.dumps(settings))
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((tmp_path / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control for control in record["controls"]}

    return run


def verdicts(seen: dict[str, dict[str, Any]]) -> list[str]:
    """The verdicts of UPD-01, UPD-02 and UPD-03."""
    return [seen[f"UPD-0{number}"]["verdict"] for number in (1, 2, 3)]


def found(control: dict[str, Any]) -> dict[str, Any]:
    """What a control that fails did not expect: fact -> what it is."""
    assert control["verdict"] == "fail", control
    return {check["fact"]: check["actual"] for check in control["checks"] if check["verdict"] == "fail"}


def settled(machine: Machine) -> None:
    """Wait until the record that is made in the background is there."""
    machine.ok(
        "for i in $(seq 600); do [ $(systemctl show -P SubState kijun-updates.service) != running ] && exit 0; "
        "sleep 0.2; done; exit 1"
    )


def apply(machine: Machine, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Apply the role to the host."""
    given = json.dumps(settings)
    return machine.playbook("molecule/security_updates/converge.yml", *arguments, "-e", given, timeout=300)


def changed(machine: Machine, *arguments: str, **settings: Any) -> bool:
    """Apply the role, and tell whether it changed something."""
    done = apply(machine, *arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = re.search(r"changed=(\d+)", done.stdout)
    assert tasks
    settled(machine)
    return tasks[1] != "0"


def slot(machine: Machine) -> None:
    """What the timer does in the afternoon, now."""
    machine.ok("systemctl start apt-daily-upgrade.service")


def versions(machine: Machine) -> dict[str, str]:
    """The packages' installed versions."""
    lines = machine.ok("dpkg-query -W -f '${Package} ${Version}\\n' 'kijuntest-*'").splitlines()
    return dict(line.split() for line in lines)


def record(machine: Machine) -> dict[str, Any]:
    """What was recorded last."""
    state: dict[str, Any] = json.loads(machine.ok(f"cat {STATE}"))
    return state


def edit(machine: Machine, change: str) -> None:
    """Change the record, as Python has it in `state`; `days` is how long a day is."""
    read, write = f"state = json.load(open('{STATE}'))", f"json.dump(state, open('{STATE}', 'w'))"
    machine.python(f"import json; days = 86400; {read}\n{change}\n{write}")


@pytest.fixture
def repositories(machine: Machine) -> Iterator[None]:
    """Two package sources, of which one passed staging, and old packages that both have updates of."""
    machine.ok(f"rm -rf {SPOT} /etc/apt/sources.list.d/kijuntest.list")
    machine.python(REPOSITORIES)
    yield
    machine.ok(f"dpkg -P {' '.join(PACKAGES)}; rm -rf {SPOT} /etc/apt/sources.list.d/kijuntest.list")
    assert changed(machine)
    machine.ok("/usr/local/lib/kijun/updates begin")


@pytest.mark.control("UPD-01", "UPD-02")
def test_the_slot_installs_what_is_staged_and_names_the_rest(
    machine: Machine, repositories: None, audit: Audit
) -> None:
    # Nothing is staged: nothing is installed, and all of it is known.
    none_staged = {
        "security_updates_origins": [],
        "security_updates_security_origins": ["origin=KijunTest"],
    }
    assert changed(machine, **none_staged)
    slot(machine)
    assert set(versions(machine).values()) == {"1"}
    assert set(PACKAGES) <= set(record(machine)["pending"])
    seen = audit(**none_staged)
    assert verdicts(seen)[:2] == ["fail", "pass"]
    assert "names no staged source" in json.dumps(seen["UPD-01"])

    # A changed setting does not keep an update away, and stays.
    machine.ok("echo mine > /etc/kijuntest-staged.conf")
    assert changed(machine, **STAGED)
    assert not changed(machine, **STAGED)
    slot(machine)
    assert versions(machine) == {"kijuntest-staged": "2", "kijuntest-held": "1", "kijuntest-other": "1"}
    assert machine.ok("cat /etc/kijuntest-staged.conf") == "mine\n"
    assert record(machine)["result"] == "success"
    seen = audit(**STAGED)
    assert seen["UPD-01"]["verdict"] == "pass"
    assert found(seen["UPD-02"]) == {
        "updates.withheld": {"kijuntest-held": "1 -> 2, Staged/test, excluded by a setting"}
    }

    # Days later, what waits for staging is named as well; a hold by hand is no better than a setting.
    machine.ok("apt-mark hold kijuntest-other && /usr/local/lib/kijun/updates record")
    held = json.dumps(found(audit(**STAGED)["UPD-02"])["updates.withheld"])
    assert "kijuntest-other" in held
    assert "on hold" in held
    machine.ok("apt-mark unhold kijuntest-other")
    # Those of this test alone: an update that Debian brings out meanwhile is not late in the tests that follow.
    edit(machine, "for name, update in state['pending'].items(): update['since'] -= 2 * days * ('kijuntest' in name)")
    machine.ok("/usr/local/lib/kijun/updates record")
    late = found(audit(**STAGED)["UPD-02"])["updates.security_days"]
    assert late["kijuntest-other 1 -> 2, Unstaged/test, not staged"] == pytest.approx(2, abs=0.1)
    assert found(audit(**STAGED, security_updates_deadline=7)["UPD-02"]).keys() == {"updates.withheld"}

    # Staged, and no longer held: the next slot brings all of it in.
    staged = {**STAGED, "security_updates_origins": ["origin=KijunTest"], "security_updates_held": []}
    assert changed(machine, **staged)
    slot(machine)
    assert set(versions(machine).values()) == {"2"}
    assert verdicts(audit(**staged)) == ["pass", "pass", "pass"]


@pytest.mark.control("UPD-01")
def test_the_slot_is_at_the_time_asked_for(machine: Machine, audit: Audit) -> None:
    assert verdicts(audit()) == ["pass", "pass", "pass"]
    other = {"security_updates_slot": "15:30", "security_updates_spread": 10}
    assert [changed(machine, "--check", **other), changed(machine, **other), changed(machine, **other)] == [
        True,
        True,
        False,
    ]
    shown = machine.ok("systemctl show -p TimersCalendar -p NextElapseUSecRealtime apt-daily-upgrade.timer")
    assert "OnCalendar=*-*-* 15:30:00 ;" in shown
    assert shown.count("OnCalendar=") == 1
    assert re.search(r"NextElapseUSecRealtime=.* 15:3[0-9]:", shown)
    assert audit(**other)["UPD-01"]["verdict"] == "pass"
    assert found(audit()["UPD-01"]) == {"updates.slot": ["*-*-* 15:30:00"], "updates.spread_minutes": 10}
    night = {"security_updates_slot": "02:00"}
    assert "not in the afternoon" in json.dumps(audit(**night)["UPD-01"])
    assert changed(machine)


@pytest.mark.control("UPD-01")
def test_what_is_undone_is_noticed_and_put_right(machine: Machine, audit: Audit) -> None:
    machine.ok("systemctl disable --now apt-daily-upgrade.timer")
    assert found(audit()["UPD-01"]).keys() == {
        "units[apt-daily-upgrade.timer].enabled",
        "units[apt-daily-upgrade.timer].active",
    }
    machine.ok("rm /etc/apt/apt.conf.d/zz-kijun-updates /etc/systemd/system/apt-daily-upgrade.*.d/zz-kijun*.conf")
    machine.ok("systemctl daemon-reload")
    seen = audit()
    assert {"updates.slot", "updates.origins", "updates.recorded_by_slot"} <= found(seen["UPD-01"]).keys()
    assert [changed(machine, "--check"), changed(machine), changed(machine)] == [True, True, False]
    assert verdicts(audit()) == ["pass", "pass", "pass"]
    # Settings of somebody else's that come after the role's, or beside them.
    mine = """'Unattended-Upgrade { Automatic-Reboot "true"; Allowed-Origins { "x:y"; }; };'"""
    machine.ok(f"echo {mine} > /etc/apt/apt.conf.d/zzz-mine")
    try:
        assert found(audit()["UPD-01"]).keys() == {"updates.reboots", "updates.origins"}
    finally:
        machine.ok("rm /etc/apt/apt.conf.d/zzz-mine")


@pytest.mark.control("UPD-01", "UPD-02", "UPD-03")
def test_a_slot_that_does_not_run_is_noticed(machine: Machine, audit: Audit) -> None:
    before = machine.ok(f"cat {STATE}")
    try:
        edit(machine, "state.pop('run', None), state.pop('result', None); state['set_up'] -= 1 * days")
        assert audit()["UPD-01"]["verdict"] == "pass", "the first slot is still to come"
        edit(machine, "state['set_up'] -= 2 * days; state['lists'] -= 3 * days")
        seen = audit()
        assert found(seen["UPD-01"]) == {"updates.run_age_days": pytest.approx(3, abs=0.2)}
        assert found(seen["UPD-02"]) == {"updates.lists_age_days": pytest.approx(3, abs=0.2)}
        edit(machine, "state['time'] -= 3 * days")
        assert "updates.record_age_days" in found(audit()["UPD-02"])
        machine.ok(f"rm {STATE}")
        seen = audit()
        assert verdicts(seen) == ["fail", "fail", "fail"]
        assert found(seen["UPD-01"]) == {"updates.run_age_days": None}
    finally:
        machine.ok(f"umask 077; printf '%s' {shlex.quote(before)} > {STATE}")
    # A source that does not answer: the lists there are go on being used, and are not called new.
    machine.ok("echo 'deb file:/nowhere ./' > /etc/apt/sources.list.d/kijuntest.list")
    try:
        known = record(machine)["lists"]
        slot(machine)
        after = record(machine)
        assert after["lists"] == known
        assert "/nowhere" in after["lists_error"]
        assert after["run"] > known
    finally:
        machine.ok("rm /etc/apt/sources.list.d/kijuntest.list; /usr/local/lib/kijun/updates begin")
    assert verdicts(audit()) == ["pass", "pass", "pass"]


@pytest.mark.control("UPD-03")
def test_a_service_that_holds_replaced_code_is_named(machine: Machine, audit: Audit) -> None:
    # An update that Debian brought out meanwhile, and a slot of the tests before installed, leaves services of its own.
    machine.ok("/usr/local/lib/kijun/updates record")
    others = set(record(machine)["replaced_code"])
    library = "/opt/kijuntest/libz.so.1"
    machine.ok(f"mkdir -p /opt/kijuntest && cp -L /usr/lib/x86_64-linux-gnu/libz.so.1 {library}")
    unit = f"[Service]\\nEnvironment=LD_PRELOAD={library}\\nExecStart=/bin/sleep infinity\\n"
    machine.ok(f"printf '{unit}' > /run/systemd/system/kijuntest.service && systemctl daemon-reload")
    machine.ok("systemctl start kijuntest.service; sleep 1")
    try:
        machine.ok(f"cp {library} {library}.new && mv {library}.new {library}; touch /run/reboot-required")
        started = machine.ok("systemctl show -P ActiveEnterTimestamp kijuntest.service")
        machine.ok("/usr/local/lib/kijun/updates record")
        mine = {"kijuntest.service", "reboot"}
        assert set(record(machine)["replaced_code"]) == others | mine
        assert audit()["UPD-03"]["verdict"] == "pass", "it is still within the deadline"
        edit(machine, f"for name in {mine - others!r}: state['replaced_code'][name] -= 2 * days")
        machine.ok("/usr/local/lib/kijun/updates record")
        late = found(audit()["UPD-03"])["updates.replaced_code_days"]
        assert set(late) == mine - others
        assert machine.ok("systemctl show -P ActiveEnterTimestamp kijuntest.service") == started
        machine.ok("rm /run/reboot-required; systemctl restart kijuntest.service; /usr/local/lib/kijun/updates record")
        assert audit()["UPD-03"]["verdict"] == "pass"
    finally:
        machine.ok("systemctl stop kijuntest.service; rm -rf /opt/kijuntest /run/systemd/system/kijuntest.service")
        machine.ok("rm -f /run/reboot-required; systemctl daemon-reload; /usr/local/lib/kijun/updates record")


def test_what_is_excused_is_left_to_the_host(machine: Machine) -> None:
    # Prints what it would write; what the host is excused from is otherwise the ledger's to say.
    wish = {"security_updates_slot": "16:00", "security_updates_security_origins": ["origin=KijunTest"]}
    for excused, expected in (
        ([], {"zz-kijun.conf", "security-updates.json"}),
        (["UPD-01"], {"security-updates.json"}),
        (["UPD-02", "UPD-03"], {"zz-kijun.conf", "security-updates.json"}),
        (["UPD-01", "UPD-02", "UPD-03"], set()),
    ):
        done = apply(machine, "--check", "--diff", __security_updates_excused=excused, **wish)
        assert done.returncode == 0, done.stdout + done.stderr
        told = set(re.findall(r"^\+\+\+ .*/([^/\s]+)", done.stdout, re.MULTILINE))
        assert told == expected, (excused, done.stdout)


def test_wrong_settings_are_refused_before_anything_changes(machine: Machine) -> None:
    wrong: dict[str, tuple[Any, str]] = {
        "origins": (["origin=*"], "a list of package sources such as"),
        "security_origins": ([], "not empty"),
        "slot": ("2 pm", "a time of day such as 14:00"),
        "spread": (241, "from 0 to 240"),
        "reboot": ("perhaps", "true or false"),
        "held": (['x"; y'], "a list of packages"),
        "deadline": (0, "from 1 to 90"),
        "other_deadline": (91, "from 1 to 90"),
    }
    files = "sha256sum /etc/apt/apt.conf.d/* /etc/systemd/system/apt-daily*/* /etc/kijun/security-updates.json"
    before = machine.ok(files)
    done = apply(machine, **{f"security_updates_{name}": value for name, (value, _) in wrong.items()})
    assert done.returncode != 0
    printed = " ".join(done.stdout.split())
    for name, (_, allowed) in wrong.items():
        complaint = re.search(rf"security_updates_{name} is [^;]*; it must be [^;]*", printed.replace("; y", ""))
        assert complaint, name
        assert allowed in complaint[0]
        assert "(clause " in complaint[0]
    assert machine.ok(files) == before
