# SPDX-License-Identifier: GPL-3.0-or-later
"""What may not stand in the tree: this machine's paths and registries, unfinished work, sources without a licence."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ansible import constants
from kijun_tools import tree
from pip._internal.models.index import PyPI

SOURCES = {".cfg", ".css", ".html", ".j2", ".js", ".py", ".sh", ".toml", ".yaml", ".yml"}
RECEIVED = ("policy/clauses/", "policy/conflicts.yml")
"""The organisation's register, kept as it was received."""

STANDARD = {"boot", "dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var"}
"""Directories of the Filesystem Hierarchy Standard: naming one says nothing about this machine."""

UNFINISHED = re.compile(r"TO[D]O|FIX[M]E|X[X]X|NotImplemente[d]Error|assert Tru[e]\b|mark\.ski[p]\(\)")
PRIVATE = re.compile(r"\b(?:192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+\b")


def files() -> list[Path]:
    """Every file that is, or would be, committed; links left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=tree.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [tree.ROOT / name for name in listed.split("\0") if name]
    return sorted({path for path in paths if path.is_file() and not path.is_symlink()})


def texts() -> Iterator[tuple[str, str]]:
    """Each text file: its name relative to the checkout, and its text."""
    for path in files():
        try:
            yield str(path.relative_to(tree.ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def found(pattern: re.Pattern[str]) -> list[str]:
    """Every line of the tree that a pattern is found in, as file:line: text."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def output(*command: str) -> str:
    """What a program prints; nothing where it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def registry_hosts() -> set[str]:
    """Host names of the package registries that this machine's apt, pip, npm and ansible-galaxy are set up with."""
    apt = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    settings = [file.read_text(encoding="utf-8") for file in apt if file.is_file()]
    settings = ["\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")) for text in settings]
    settings += [output(sys.executable, "-m", "pip", "config", "list"), output("npm", "config", "get", "registry")]
    settings += [PyPI.url, f"https://{PyPI.file_storage_domain}", constants.config.get_config_value("GALAXY_SERVER")]
    addresses = re.findall(r"\w+://[^\s'\"\]]+", "\n".join(settings))
    return {host for address in addresses if (host := urlsplit(address).hostname)}


def test_no_registry_is_named() -> None:
    hosts = registry_hosts()
    assert hosts
    assert not found(re.compile("|".join(map(re.escape, sorted(hosts)))))


def test_no_path_of_this_machine_is_named() -> None:
    first = tree.ROOT.parts[1]
    places = {str(tree.ROOT)} | ({f"/{first}/"} if first not in STANDARD else set())
    assert not found(re.compile(r"(?:^|[^\w.])(?:" + "|".join(map(re.escape, sorted(places))) + ")"))


def test_nothing_is_unfinished() -> None:
    assert not found(UNFINISHED)


def test_addresses_of_others_networks_are_not_used() -> None:
    assert not [line for line in found(PRIVATE) if not line.startswith("policy/")]


def is_source(path: Path) -> bool:
    name = str(path.relative_to(tree.ROOT))
    if name.startswith(RECEIVED):
        return False
    return path.suffix in SOURCES or path.name == "Makefile" or path.read_bytes()[:2] == b"#!"


def test_every_source_names_its_licence() -> None:
    lacking = [
        str(path.relative_to(tree.ROOT))
        for path in files()
        if is_source(path)
        and not re.search(r"SPDX-License-Identifier: GPL-3\.0-or-later", path.read_text("utf-8")[:400])
    ]
    assert not lacking


HOST_SIDE = sorted([*tree.ROOT.glob("plugins/modules/*.py"), *tree.ROOT.glob("plugins/module_utils/**/*.py")])


def test_there_is_a_host_side() -> None:
    assert HOST_SIDE


@pytest.mark.parametrize("path", HOST_SIDE, ids=lambda path: str(path.relative_to(tree.ROOT / "plugins")))
def test_what_runs_on_hosts_is_python_3_9_and_its_standard_library(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    for node in ast.walk(module):
        assert not isinstance(node, ast.Match | ast.TryStar), f"line {node.lineno}: newer than Python 3.9"
    # python3-apt is part of the hosts' package manager; Ansible's own library is shipped with each module.
    allowed = sys.stdlib_module_names | {"ansible", "ansible_collections", "apt", "apt_pkg"}
    imported = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and not node.level}
    assert not {name for name in imported if name.split(".")[0] not in allowed}


DOWN = {"modules": {"module_utils"}, "module_utils": {"module_utils"}, "plugin_utils": {"plugin_utils", "module_utils"}}


@pytest.mark.parametrize("layer", sorted(DOWN))
def test_dependencies_point_down(layer: str) -> None:
    other = re.compile(
        r"(?:from|import) (?:\.+|ansible_collections\.kijun\.baseline\.plugins\.)(\w+_utils|modules|action)\b"
    )
    wrong = [
        f"{path.relative_to(tree.ROOT)}: {match[0]}"
        for path in sorted(tree.ROOT.glob(f"plugins/{layer}/**/*.py"))
        for match in other.finditer(path.read_text(encoding="utf-8"))
        if match[1] not in DOWN[layer]
    ]
    assert not wrong
