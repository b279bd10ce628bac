# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of config_files: what it hands to the module, and what it refuses before a host is touched."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.kijun.baseline.plugins.action import config_files as action
from ansible_collections.kijun.baseline.plugins.modules import config_files as module

VARIABLES = {"inventory_hostname": "server12", "words": ["a", "b"], "number": 7}


@pytest.fixture
def role(tmp_path: Path) -> Path:
    (tmp_path / "templates/below").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    return tmp_path


def hand_over(role: Path, **arguments: Any) -> dict[str, Any]:
    """Run the action in a role directory and give back the arguments that the module would get."""
    handed: list[dict[str, Any]] = []
    loader = DataLoader()
    loader.set_basedir(str(role))
    task = SimpleNamespace(
        args=arguments, get_search_path=lambda: [str(role)], async_val=0, check_mode=False, diff=False, collections=[]
    )
    plugin = action.ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=SimpleNamespace(),
        loader=loader,
        templar=Templar(loader=loader, variables=VARIABLES),
        shared_loader_obj=None,
    )
    plugin._execute_module = lambda **options: handed.append(options) or {}
    plugin.run(task_vars=dict(VARIABLES))
    assert len(handed) == 1, "the whole step is one module execution"
    assert handed[0]["module_name"] == "kijun.baseline.config_files"
    return handed[0]["module_args"]


def refused(role: Path, *files: Any, **arguments: Any) -> str:
    with pytest.raises(AnsibleActionFail) as caught:
        hand_over(role, files=list(files), **arguments)
    return str(caught.value)


def rendered(role: Path, template: str, **entry: Any) -> bytes:
    (role / "templates/t.j2").write_text(template)
    arguments = hand_over(role, files=[{"path": "/etc/x", "template": "t.j2", **entry}])
    return base64.b64decode(arguments["contents"]["/etc/x"])


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("# {{ inventory_hostname }}\n", "# server12\n"),
        (
            "{% for w in words %}\n  {% if true %}\n{{ w }}\n  {% endif %}\n{% endfor %}\nend\n\n",
            "  a\n    b\n  end\n\n",
        ),
        ("no newline {{ number }}", "no newline 7"),
        ("{{ words }}", "['a', 'b']"),
        ("a\\n {{ 'b\\\\n' }}\n", "a\\n b\\n\n"),
        ("{% include 'below/part.j2' %}\n", "part 7\n"),
        ("日本語 {{ number }}\n", "日本語 7\n"),
        ("", ""),
    ],
)
def test_templates_render_as_those_of_ansible_do(role: Path, template: str, text: str) -> None:
    (role / "templates/below/part.j2").write_text("part {{ number }}")
    assert rendered(role, template).decode() == text


def test_sources_and_contents(role: Path) -> None:
    (role / "files/raw").write_bytes(b"\xff\0{{ number }}")
    handed = hand_over(
        role,
        files=[
            {"path": "/etc/raw", "source": "raw", "mode": "0600"},
            {"path": "/etc/inline", "content": "text\n"},
            {"path": "/etc/keyed", "settings": {"A": 1}},
            {"path": "/etc/gone", "state": "absent"},
        ],
        validate=[["sshd", "-t"]],
    )
    decoded = {path: base64.b64decode(content) for path, content in handed["contents"].items()}
    assert decoded == {"/etc/raw": b"\xff\0{{ number }}", "/etc/inline": b"text\n"}
    assert handed["files"][0] == {"path": "/etc/raw", "mode": "0600"}
    assert handed["files"][2] == {"path": "/etc/keyed", "settings": {"A": 1}}
    assert handed["validate"] == [["sshd", "-t"]]


def test_secrets_go_by_the_argument_that_is_never_logged(role: Path) -> None:
    handed = hand_over(role, files=[{"path": "/etc/token", "content": "hush", "secret": True}])
    assert handed["contents"] == {} and list(handed["secret_contents"]) == ["/etc/token"]
    assert "hush" not in str(handed)
    assert module.ARGUMENTS["secret_contents"]["no_log"] is True


def test_one_templating_environment_serves_all_templates(role: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = Templar.copy_with_new_env
    monkeypatch.setattr(
        Templar, "copy_with_new_env", lambda self, **options: made.append(1) or original(self, **options)
    )
    for number in range(50):
        (role / f"templates/{number}.j2").write_text("{{ number }}\n")
    handed = hand_over(role, files=[{"path": f"/etc/{n}", "template": f"{n}.j2"} for n in range(50)])
    assert len(handed["contents"]) == 50 and len(made) == 1


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("one\n{{ not_defined }}\n", ["line 2", "not_defined"]),
        ("one\n\n{{ not_defined.deeper + 1 }}\n", ["line 3", "not_defined"]),
        ("one\n{% if %}\n", ["line 2", "Syntax error"]),
        ("one\ntwo\n{{ number | no_such_filter }}\n", ["line 3", "no_such_filter"]),
    ],
)
def test_a_template_error_names_file_line_and_variable(role: Path, template: str, words: list[str]) -> None:
    (role / "templates/t.j2").write_text(template)
    message = refused(role, {"path": "/etc/x", "template": "t.j2"})
    assert all(word in message for word in ["/etc/x", "t.j2", *words]), message


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, ["entry 1", "path"]),
        ("/etc/x", ["entry 1", "path"]),
        ({"path": "/etc/x"}, ["/etc/x", "no content", "exactly one"]),
        ({"path": "/etc/x", "content": "a", "template": "t.j2"}, ["template and content", "exactly one"]),
        ({"path": "/etc/x", "content": "a", "state": "absent"}, ["content", "absent"]),
        ({"path": "/etc/x", "content": "a", "mode": 420}, ["mode", "420", "quotes"]),
        ({"path": "/etc/x", "content": ["a"]}, ["content", "list"]),
        ({"path": "/etc/x", "content": "a", "modus": "0644"}, ["modus", "mode"]),
        ({"path": "/etc/x", "template": "none.j2"}, ["/etc/x", "none.j2"]),
        ({"path": "/etc/x", "source": "none"}, ["/etc/x", "none"]),
        ({"path": "/etc/x", "settings": {"A": 1}, "secret": True}, ["/etc/x", "settings cannot be secret"]),
    ],
)
def test_bad_entries(role: Path, entry: Any, words: list[str]) -> None:
    message = refused(role, entry)
    assert all(word in message for word in words), message


def test_the_internal_arguments_are_refused(role: Path) -> None:
    entry = {"path": "/etc/x", "content": "a"}
    assert "filled in by the step" in refused(role, entry, contents={"/etc/x": "YQ=="})
    assert "at least one" in refused(role)


def test_the_documentation_describes_the_arguments() -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert options.keys() == module.ARGUMENTS.keys()
    files = options["files"]["suboptions"]
    assert files.keys() == action.FILE_OPTIONS == module.FILE_OPTIONS.keys() | set(action.GIVES_CONTENT)
    assert options["generate"]["suboptions"].keys() == module.GENERATE_OPTIONS.keys()
    documented = [(options, module.ARGUMENTS), (files, module.FILE_OPTIONS)]
    documented.append((options["generate"]["suboptions"], module.GENERATE_OPTIONS))
    for texts, specification in documented:
        for name, wanted in specification.items():
            for key in ("type", "elements", "default", "choices", "required"):
                assert texts[name].get(key) == wanted.get(key), f"{name}: {key}"
    assert yaml.safe_load(module.EXAMPLES) and yaml.safe_load(module.RETURN)
