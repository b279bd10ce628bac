# SPDX-License-Identifier: GPL-3.0-or-later
"""PAM stacks: how they are read, what they decide, and which changes to Debian's and ours let somebody in.

tests/behaviour/test_facts.py holds the same simulator against libpam itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.pam import pam
from ansible_collections.kijun.baseline.plugins.module_utils.facts.pam_stack import (
    BROKEN,
    Reader,
    Step,
    decide,
    flat,
)
from hypothesis import given
from hypothesis import strategies as st

HostWith = Callable[[dict[str, str]], Host]
PamTree = Callable[..., dict[str, str]]

SERVICES_WITH_PASSWORD = ["chfn", "chsh", "login", "other", "sshd", "su", "su-l", "sudo", "sudo-i"]
SERVICES_THAT_SET_ONE = ["chpasswd", "login", "newusers", "other", "passwd", "sshd"]


@pytest.fixture
def stack(host_with: HostWith) -> Callable[..., list[Step]]:
    """Read the auth stack of a service of these lines."""

    def read(text: str, kind: str = "auth", **files: str) -> list[Step]:
        tree = {f"/etc/pam.d/{name}": content for name, content in {"service": text, **files}.items()}
        return Reader(host_with(tree)).stack("service", kind)

    return read


@pytest.fixture
def facts(host_with: HostWith, pam_tree: PamTree) -> Callable[..., dict[str, Any]]:
    """Read what the PAM files of a release and profile do, some of them changed."""

    def read(
        release: int = 13, profiles: str = "kijun", more: dict[str, str] | None = None, **changed: str
    ) -> dict[str, Any]:
        return pam(host_with({**pam_tree(release, profiles, **changed), **(more or {})}), {"sshd"})

    return read


def result(steps: list[Step], **outcomes: str) -> str:
    """What a stack decides when modules return the given results, and success otherwise; denied for all refusals."""
    found = decide(steps, lambda step: outcomes.get(step.module, "success")).result
    return found if found in ("success", "new_authtok_reqd") else "denied"


# --- reading


def test_lines_are_read_as_libpam_reads_them(stack: Callable[..., list[Step]]) -> None:
    steps = stack(
        "# a comment\n"
        "\n"
        "auth\trequired\tpam_one.so a=1 [b=two words] c\\]d # a remark\n"
        "AUTH Sufficient pam_two.so\n"
        "-auth optional /lib/x86_64-linux-gnu/security/pam_three.so\n"
        "auth [success=1 default=ignore]\\\n"
        "   pam_four.so x\n"
        "#auth required pam_out.so\n"
        "account required pam_not_this.so\n"
        "auth [required] [pam_five.so] [a\\]b]\n"
        "auth success=done pam_six.so"
    )
    assert [step.module for step in steps] == [f"pam_{n}.so" for n in ("one", "two", "three", "four", "five", "six")]
    assert [step.arguments for step in steps] == [["a=1", "b=two words", "c\\]d"], [], [], ["x"], ["a]b"], []]
    assert steps[3].actions == {"success": "1", "default": "ignore"}
    assert steps[4].actions == {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"}
    assert steps[5].actions == {"success": "done"}


@pytest.mark.parametrize(
    ("control", "actions"),
    [
        ("[success=ok]", {"success": "ok"}),
        ("[ success = 1   default = die ]", {"success": "1", "default": "die"}),
        ("[default=bad default=done]", {"default": "bad"}),
        ("[success=ok success=done]", {"success": "done"}),
        ("[success=1default=ignore]", {"success": "1", "default": "ignore"}),
    ],
)
def test_controls_in_brackets(stack: Callable[..., list[Step]], control: str, actions: dict[str, str]) -> None:
    assert stack(f"auth {control} pam_x.so")[0].actions == actions


@pytest.mark.parametrize("control", ["[success=0]", "[success]", "[success=maybe]", "[sucess=ok]", "[]", "suficient"])
def test_a_control_that_is_none_is_told_and_always_fails(host_with: HostWith, control: str) -> None:
    host = host_with({"/etc/pam.d/service": f"auth required pam_permit.so\nauth {control} pam_permit.so\n"})
    steps = Reader(host).stack("service", "auth")
    assert result(steps) == "denied"
    assert [(p["file"], p["line"]) for p in host.problems] == [("/etc/pam.d/service", 2)]


@pytest.mark.parametrize(
    "line", ["auth", "auth required", "auht required pam_unix.so", "[auth required] pam_unix.so", "x"]
)
def test_a_malformed_line_is_told_with_its_number_and_the_rest_is_read(host_with: HostWith, line: str) -> None:
    host = host_with({"/etc/pam.d/service": f"auth required \\\n pam_one.so\n{line}\nauth required pam_two.so\n"})
    reader = Reader(host)
    for kind in ("auth", "account"):
        reader.stack("service", kind)
    steps = reader.stack("service", "auth")
    assert [step.module for step in steps] == ["pam_one.so", BROKEN, "pam_two.so"]
    assert result(steps) == "denied"
    assert [step.module for step in reader.stack("service", "session")] == []
    assert [(p["file"], p["line"]) for p in host.problems] == [("/etc/pam.d/service", 3)]
    assert line.split()[0].strip("[") in str(host.problems[0]["problem"])


def test_a_remark_ends_a_line_that_would_go_on(stack: Callable[..., list[Step]]) -> None:
    steps = stack("auth required pam_one.so # more \\\nauth required pam_two.so\n")
    assert [step.module for step in steps] == ["pam_one.so", "pam_two.so"]


def test_a_file_that_ends_where_a_line_should_go_on_is_broken(host_with: HostWith) -> None:
    host = host_with({"/etc/pam.d/service": "auth required pam_one.so\nauth sufficient pam_permit.so \\\n"})
    assert [step.module for step in Reader(host).stack("service", "auth")] == ["pam_one.so", BROKEN]
    assert [p["line"] for p in host.problems] == [2]


def test_only_a_line_feed_ends_a_line(stack: Callable[..., list[Step]]) -> None:
    assert stack("# harmless \x0b\x0c\x1c\x85\u2028 auth sufficient pam_permit.so\n") == []


def test_a_module_from_elsewhere_does_not_pass_for_debians(stack: Callable[..., list[Step]]) -> None:
    paths = [
        "/tmp/pam_deny.so",
        "../../tmp/pam_deny.so",
        "/usr/lib/x86_64-linux-gnu/security/pam_deny.so",
        "pam_deny.so",
    ]
    steps = stack("".join(f"auth required {path}\n" for path in paths))
    assert [step.module for step in steps] == [*paths[:2], "pam_deny.so", "pam_deny.so"]


def test_includes_are_put_in_their_place(stack: Callable[..., list[Step]]) -> None:
    steps = stack(
        "auth required pam_one.so\n@include shared\nauth include shared\nauth Include other-name\n",
        shared="auth required pam_two.so\naccount required pam_three.so\n@INCLUDE deeper\n",
        deeper="auth required pam_four.so\n",
        **{"other-name": "auth required pam_five.so\n"},
    )
    names = ("one", "two", "four", "two", "four", "five")
    assert [step.module for step in steps] == [f"pam_{name}.so" for name in names]


def test_a_file_in_etc_hides_the_one_of_the_vendor(host_with: HostWith) -> None:
    host = host_with({"/etc/pam.d/a": "auth required pam_one.so", "/usr/lib/pam.d/a": "", "/usr/lib/pam.d/b": "x"})
    reader = Reader(host)
    assert reader.services() == ["a", "b"]
    assert [step.module for step in reader.stack("a", "auth")] == ["pam_one.so"]
    assert reader.stack("c", "auth") == []


def test_without_any_pam_file_there_is_no_service(host_with: HostWith) -> None:
    assert Reader(host_with({})).services() == []


def test_backups_and_shared_files_are_no_services(host_with: HostWith) -> None:
    names = ["sshd", "sshd.dpkg-old", "sshd~", "common-auth", "#x#"]
    assert Reader(host_with({f"/etc/pam.d/{name}": "" for name in names})).services() == ["sshd"]


@pytest.mark.parametrize("word", ["@include", "auth include", "auth substack"])
def test_a_loop_of_includes_is_told_and_ends(host_with: HostWith, word: str) -> None:
    again = f"{word} {{}}\n"
    host = host_with(
        {
            "/etc/pam.d/one": again.format("two") * 3 + "auth required pam_one.so",
            "/etc/pam.d/two": again.format("one") * 3 + again.format("two"),
        }
    )
    steps = Reader(host).stack("one", "auth")
    assert {step.module for step in flat(steps)} == {"pam_one.so", BROKEN}
    assert result(steps) == "denied"
    assert {(p["file"], p["line"]) for p in host.problems} == {("/etc/pam.d/two", line) for line in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    "line", ["@include gone", "auth include gone", "auth substack gone", "@include", "@include a b"]
)
def test_a_missing_include_is_told(host_with: HostWith, line: str) -> None:
    host = host_with({"/etc/pam.d/service": line})
    assert [step.module for step in flat(Reader(host).stack("service", "auth"))] == [BROKEN]
    assert "which is not there" in str(host.problems[0]["problem"])


# --- deciding


@pytest.mark.parametrize(
    ("lines", "outcomes", "expected"),
    [
        ("", {}, "denied"),
        ("auth required pam_a.so", {}, "success"),
        ("auth required pam_a.so", {"pam_a.so": "auth_err"}, "denied"),
        ("auth required pam_a.so", {"pam_a.so": "ignore"}, "denied"),
        ("auth optional pam_a.so", {"pam_a.so": "auth_err"}, "denied"),
        ("auth optional pam_a.so\nauth required pam_b.so", {"pam_a.so": "auth_err"}, "success"),
        ("auth sufficient pam_a.so\nauth required pam_b.so", {"pam_b.so": "auth_err"}, "success"),
        (
            "auth sufficient pam_a.so\nauth required pam_b.so",
            {"pam_a.so": "auth_err", "pam_b.so": "auth_err"},
            "denied",
        ),
        ("auth required pam_a.so\nauth sufficient pam_b.so", {"pam_a.so": "auth_err"}, "denied"),
        ("auth requisite pam_a.so\nauth [default=reset] pam_b.so\nauth required pam_c.so", {"pam_a.so": "x"}, "denied"),
        ("auth required pam_a.so\nauth [default=reset] pam_b.so\nauth required pam_c.so", {"pam_a.so": "x"}, "success"),
        (
            "auth [success=1 default=bad] pam_a.so\nauth requisite pam_b.so\nauth required pam_c.so",
            {"pam_b.so": "x"},
            "success",
        ),
        ("auth [success=2] pam_a.so\nauth required pam_b.so", {}, "denied"),
        ("auth [success=1] pam_a.so\nauth required pam_b.so", {}, "denied"),
        ("auth required pam_c.so\nauth [success=1] pam_a.so\nauth required pam_b.so", {"pam_b.so": "x"}, "success"),
        ("auth required pam_a.so\nauth required pam_b.so", {"pam_b.so": "new_authtok_reqd"}, "new_authtok_reqd"),
        ("auth required pam_a.so\nauth required pam_b.so", {"pam_a.so": "new_authtok_reqd"}, "new_authtok_reqd"),
        ("auth sufficient pam_a.so\nauth required pam_b.so", {"pam_a.so": "new_authtok_reqd"}, "new_authtok_reqd"),
        ("auth [success=ok] pam_a.so", {"pam_a.so": "auth_err"}, "denied"),
        (
            "auth [success=ok auth_err=ignore default=bad] pam_a.so\nauth required pam_b.so",
            {"pam_a.so": "auth_err"},
            "success",
        ),
    ],
)
def test_what_stacks_decide(
    stack: Callable[..., list[Step]], lines: str, outcomes: dict[str, str], expected: str
) -> None:
    assert result(stack(lines), **outcomes) == expected


@pytest.mark.parametrize(
    ("inner", "outcomes", "expected"),
    [
        # done and die end the substack and no more
        ("auth sufficient pam_in.so\nauth required pam_never.so", {"pam_never.so": "auth_err"}, "success"),
        ("auth sufficient pam_in.so", {"pam_after.so": "auth_err"}, "denied"),
        ("auth requisite pam_in.so", {"pam_in.so": "auth_err"}, "denied"),
        # one that speaks for nobody leaves the decision to what follows
        ("auth sufficient pam_in.so", {"pam_in.so": "auth_err"}, "success"),
        # what was decided before it goes on: a refusal is not undone, and done does not end what is refused
        ("auth sufficient pam_in.so", {"pam_before.so": "auth_err"}, "denied"),
        # reset goes back to what was decided before it
        ("auth required pam_in.so\nauth [default=reset] pam_x.so", {"pam_in.so": "auth_err"}, "success"),
        ("auth [default=reset] pam_in.so", {"pam_before.so": "auth_err"}, "denied"),
        # a jump stays inside
        ("auth [default=2] pam_in.so\nauth required pam_x.so", {}, "denied"),
        ("auth [default=1] pam_in.so\nauth required pam_x.so", {"pam_x.so": "auth_err"}, "success"),
        ("", {}, "success"),
    ],
)
def test_a_substack(stack: Callable[..., list[Step]], inner: str, outcomes: dict[str, str], expected: str) -> None:
    outer = "auth required pam_before.so\nauth substack inner\nauth required pam_after.so\n"
    assert result(stack(outer, inner=inner), **outcomes) == expected


def test_a_jump_takes_a_substack_for_one_step(stack: Callable[..., list[Step]]) -> None:
    steps = stack(
        "auth [default=1] pam_a.so\nauth substack inner\nauth required pam_b.so\n",
        inner="auth required pam_deny.so\n" * 3,
    )
    decision = decide(steps, lambda step: "auth_err" if step.module == "pam_deny.so" else "success")
    assert decision.granted
    assert decision.called == ["pam_a.so", "pam_b.so"]


ACTIONS = st.dictionaries(
    st.sampled_from(["success", "auth_err", "ignore", "default"]),
    st.sampled_from(["ok", "done", "bad", "die", "ignore", "reset", "1", "2", "9"]),
)
STACKS = st.recursive(
    st.builds(Step, st.sampled_from(["pam_a.so", "pam_b.so"]), st.just([]), ACTIONS),
    lambda inner: st.builds(lambda steps: Step("", [], {}, steps), st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(STACKS, max_size=6), st.sampled_from(["auth_err", "ignore", "success"]))
def test_no_stack_grants_when_every_module_refuses_unless_it_says_so(steps: list[Step], other: str) -> None:
    decision = decide(steps, lambda step: "auth_err" if step.module == "pam_a.so" else other)
    assert len(decision.called) <= len(flat(steps))
    if other != "success":  # only success is success, whatever the actions
        assert not decision.granted


# --- Debian's stacks, ours, and attacks on them


@pytest.mark.parametrize("release", [12, 13])
def test_the_stacks_of_role_authentication_hold(facts: Callable[..., dict[str, Any]], release: int) -> None:
    found = facts(release)
    assert {name: value for name, value in found.items() if value and name != "sshd"} == {}
    assert found["sshd"]["auth"]["modules"] == [
        "pam_faillock.so preauth",
        "pam_unix.so",
        "pam_faillock.so authfail",
        "pam_deny.so",
        "pam_permit.so",
        "pam_faillock.so authsucc",
    ]
    assert "no_pass_expiry" in found["sshd"]["account"]["options"]["pam_unix.so"]
    assert found["sshd"]["password"]["options"]["pam_pwquality.so"] == ["retry=3"]


@pytest.mark.parametrize("release", [12, 13])
def test_what_debians_own_stacks_lack(facts: Callable[..., dict[str, Any]], release: int) -> None:
    found = facts(release, "stock")
    assert found["without_lockout"] == dict.fromkeys(SERVICES_WITH_PASSWORD, "a failure is not counted")
    assert found["accepting_empty_passwords"] == SERVICES_WITH_PASSWORD
    assert found["without_quality_check"] == dict.fromkeys(
        SERVICES_THAT_SET_ONE, "pam_pwquality.so is not in its stack"
    )
    assert found["without_history"] == dict.fromkeys(SERVICES_THAT_SET_ONE, "pam_pwhistory.so is not in its stack")
    wrong = ("accepting_wrong_passwords", "ignoring_a_due_change", "ignoring_expired_accounts", "malformed")
    assert [found[name] for name in wrong] == [[], [], [], []]


def test_break_glass_accounts_are_not_locked_and_need_their_password(facts: Callable[..., dict[str, Any]]) -> None:
    jump = "auth [success=1 default=ignore] pam_succeed_if.so quiet user in breakglass\n"
    found = facts(
        common_auth=f"{jump}auth required pam_faillock.so preauth\n"
        "auth [success=3 default=ignore] pam_unix.so try_first_pass\n"
        f"{jump}auth [default=die] pam_faillock.so authfail\n"
        "auth requisite pam_deny.so\nauth required pam_permit.so\nauth required pam_faillock.so authsucc\n"
    )
    assert {name: value for name, value in found.items() if value and name != "sshd"} == {}


OURS = {
    "before": "auth required pam_faillock.so preauth\n",
    "unix": "auth [success=2 default=ignore] pam_unix.so try_first_pass\n",
    "after": "auth [default=die] pam_faillock.so authfail\n",
    "deny": "auth requisite pam_deny.so\nauth required pam_permit.so\n",
    "clear": "auth required pam_faillock.so authsucc\n",
}


def ours(**changed: str) -> str:
    return "".join({**OURS, **changed}.values())


LETS_IN = {
    "a sufficient line on top": "auth sufficient pam_permit.so\n" + ours(),
    "one in brackets": "auth [success=done default=ignore] pam_permit.so\n" + ours(),
    "one with blanks in them": "auth [ success = done default = ignore ] pam_permit.so\n" + ours(),
    "one without brackets": "auth success=done pam_permit.so\n" + ours(),
    "words in brackets": "auth [sufficient] [pam_permit.so]\n" + ours(),
    "capitals": "AUTH SUFFICIENT pam_permit.so\n" + ours(),
    "a line joined from two": "auth \\\nsufficient pam_permit.so\n" + ours(),
    "a module from elsewhere": "auth sufficient /tmp/pam_unix.so\n" + ours(),
    "a deny that is none": "auth sufficient /tmp/pam_deny.so\n" + ours(),
    "a jump to the permit": "auth [success=4 default=ignore] pam_env_like.so\n" + ours(),
    "a program that says yes": "auth sufficient pam_exec.so /tmp/yes\n" + ours(),
    "users by name": "auth sufficient pam_succeed_if.so user in worker:other\n" + ours(),
    "one user by name": "auth sufficient pam_succeed_if.so quiet user = worker\n" + ours(),
    "everybody but one": "auth sufficient pam_succeed_if.so user != nobody\n" + ours(),
    "members of a group": "auth sufficient pam_succeed_if.so user ingroup sudo\n" + ours(),
    "trusted members of a group": "auth sufficient pam_wheel.so trust\n" + ours(),
    "no deny, and a counter that says nothing": ours(
        after="auth required pam_faillock.so authfail\n", deny="auth required pam_permit.so\n"
    ),
    "a password that is not heeded": ours(
        unix="auth optional pam_unix.so\n", after="", deny="auth required pam_permit.so\n"
    ),
    "no password at all": "auth required pam_permit.so\n",
    "a substack that says nothing": "auth substack inner\nauth optional pam_permit.so\n",
    "a reset": ours(
        after="auth required pam_faillock.so authfail\n",
        deny="auth [default=reset] pam_x.so\nauth required pam_permit.so\n",
    ),
}


@pytest.mark.parametrize("attack", LETS_IN)
def test_a_stack_that_lets_a_wrong_password_in_is_found(facts: Callable[..., dict[str, Any]], attack: str) -> None:
    more = {"/etc/group": "sudo:x:27:worker\nempty:x:28:\n", "/etc/pam.d/common-inner": "auth sufficient pam_unix.so\n"}
    text = LETS_IN[attack].replace("inner", "common-inner")
    assert facts(more=more, common_auth=text)["accepting_wrong_passwords"] == SERVICES_WITH_PASSWORD
    only_sshd = facts(more=more, sshd=text + "@include common-account\n@include common-password\n")
    assert only_sshd["accepting_wrong_passwords"] == ["sshd"]


HOLDS = {
    "commented out": "#auth sufficient pam_permit.so\n" + ours(),
    "the rest of a comment": "# auth \\\n#sufficient pam_permit.so\n" + ours(),
    "another type": "account sufficient pam_permit.so\n" + ours(),
    "members of an empty group": "auth sufficient pam_succeed_if.so user ingroup empty\n" + ours(),
    "root alone": "auth sufficient pam_rootok.so\n" + ours(),
    "members of a group are asked for, too": "auth required pam_wheel.so\n" + ours(),
    "something on the side": "auth optional pam_faildelay.so\n" + ours(),
    "a jump past the end": "auth [success=9 default=ignore] pam_permit.so\n" + ours(),
}


@pytest.mark.parametrize("change", HOLDS)
def test_a_harmless_change_is_not_taken_for_an_attack(facts: Callable[..., dict[str, Any]], change: str) -> None:
    more = {"/etc/group": "sudo:x:27:worker\nempty:x:28:\n"}
    assert facts(more=more, common_auth=HOLDS[change])["accepting_wrong_passwords"] == []


NOT_COUNTED, LET_IN, NOT_CLEARED = (
    "a failure is not counted",
    "a locked account is let in",
    "a success does not clear the count",
)
UNLOCKS = {
    "no line that counts": (ours(after=""), NOT_COUNTED),
    "it is commented out": (ours(after="#" + OURS["after"]), NOT_COUNTED),
    "it comes too late": (ours(after="", deny=OURS["deny"] + OURS["after"]), NOT_COUNTED),
    "the password is jumped over it": (ours(unix="auth [success=2 default=1] pam_unix.so\n"), NOT_COUNTED),
    "the password ends the stack": (ours(unix="auth requisite pam_unix.so\n"), NOT_COUNTED),
    "locks are not heeded": (
        ours(before="auth optional pam_faillock.so preauth\n", clear="auth optional pam_faillock.so authsucc\n"),
        LET_IN,
    ),
    "locks are not looked at": (ours(before="", clear=""), LET_IN),
    "the password suffices": (ours(before="", unix="auth sufficient pam_unix.so\n"), LET_IN),
    "nothing clears": (ours(clear=""), NOT_CLEARED),
}


@pytest.mark.parametrize("attack", UNLOCKS)
def test_a_stack_in_which_failures_do_not_lock_is_found(facts: Callable[..., dict[str, Any]], attack: str) -> None:
    text, reason = UNLOCKS[attack]
    assert facts(common_auth=text)["without_lockout"] == dict.fromkeys(SERVICES_WITH_PASSWORD, reason)


def test_the_count_may_be_cleared_by_the_account_stack(facts: Callable[..., dict[str, Any]]) -> None:
    account = "account required pam_faillock.so\naccount required pam_unix.so\n"
    assert facts(common_auth=ours(clear=""), common_account=account)["without_lockout"] == {}


@pytest.mark.parametrize("option", ["nullok", "nullok_secure"])
def test_empty_passwords_are_found(facts: Callable[..., dict[str, Any]], option: str) -> None:
    found = facts(common_auth=ours(unix=f"auth [success=2 default=ignore] pam_unix.so try_first_pass {option}\n"))
    assert found["accepting_empty_passwords"] == SERVICES_WITH_PASSWORD
    found = facts(common_auth=ours(unix=f"auth [success=2 default=ignore] pam_unix.so #{option}\n"))
    assert found["accepting_empty_passwords"] == []


def test_a_service_that_lets_due_changes_and_expired_accounts_pass_is_found(
    facts: Callable[..., dict[str, Any]],
) -> None:
    found = facts(common_account="account sufficient pam_permit.so\n", other="@include common-auth\n")
    assert found["ignoring_a_due_change"] == SERVICES_WITH_PASSWORD
    assert found["ignoring_expired_accounts"] == [name for name in SERVICES_WITH_PASSWORD if name != "other"]


def test_a_service_without_an_account_stack_has_that_of_other(facts: Callable[..., dict[str, Any]]) -> None:
    more = {"/etc/pam.d/screen-lock": "@include common-auth\n"}
    assert facts(more=more)["ignoring_a_due_change"] == []
    found = facts(more=more, other="account required pam_permit.so\n")
    assert found["ignoring_a_due_change"] == ["screen-lock"]


def test_a_screen_that_asks_for_no_password_is_none_that_lets_wrong_ones_in(
    facts: Callable[..., dict[str, Any]],
) -> None:
    names = ("gdm-launch-environment", "lightdm-greeter", "sddm-autologin", "x")
    found = facts(more={f"/etc/pam.d/{name}": "auth required pam_permit.so\n" for name in names})
    assert found["accepting_wrong_passwords"] == ["x"]


QUALITY = "password requisite pam_pwquality.so retry=3\n"
HISTORY = "password requisite pam_pwhistory.so use_authtok remember=12 enforce_for_root\n"
SET = "password [success=1 default=ignore] pam_unix.so use_authtok try_first_pass yescrypt\n"
END = "password requisite pam_deny.so\npassword required pam_permit.so\n"
GUARDS = {
    "left out": (HISTORY + SET + END, "pam_pwquality.so is not in its stack"),
    "commented out": ("#" + QUALITY + HISTORY + SET + END, "pam_pwquality.so is not in its stack"),
    "optional": (QUALITY.replace("requisite", "optional") + HISTORY + SET + END, "its refusal is not heeded"),
    "too late": (HISTORY + SET + END + QUALITY, "the password is set although it refuses"),
    "only required": (
        QUALITY.replace("requisite", "required") + HISTORY + SET + END,
        "the password is set although it refuses",
    ),
    "jumped over": (
        "password [success=1 default=ignore] pam_permit.so\n" + QUALITY + HISTORY + SET + END,
        "its refusal is not heeded",
    ),
    "after one that suffices": (
        "password sufficient pam_unix.so\n" + QUALITY + HISTORY + SET + END,
        "its refusal is not heeded",
    ),
}


@pytest.mark.parametrize("attack", GUARDS)
def test_a_stack_that_sets_a_weak_password_is_found(facts: Callable[..., dict[str, Any]], attack: str) -> None:
    text, reason = GUARDS[attack]
    assert facts(common_password=text)["without_quality_check"] == dict.fromkeys(SERVICES_THAT_SET_ONE, reason)


def test_a_stack_that_sets_an_old_password_is_found(facts: Callable[..., dict[str, Any]]) -> None:
    found = facts(passwd=QUALITY + SET + END)
    assert found["without_history"] == {"passwd": "pam_pwhistory.so is not in its stack"}
    assert found["without_quality_check"] == {}


def test_malformed_lines_are_a_fact(facts: Callable[..., dict[str, Any]]) -> None:
    found = facts(sshd="@include common-auth\nauth suficient pam_unix.so\n@include gone\n")
    assert found["malformed"] == [
        "/etc/pam.d/sshd:2 unknown control 'suficient'",
        "/etc/pam.d/sshd:3 includes 'gone', which is not there",
    ]
