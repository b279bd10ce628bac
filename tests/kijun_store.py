# SPDX-License-Identifier: GPL-3.0-or-later
"""Report stores for tests: a directory that rclone takes for a remote, and what credentials of AWX bring into a job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from kijun_tools import tree

PLACE = "store:kijun/reports"


def directory_store(directory: Path) -> tuple[dict[str, str], Path]:
    """A store that is a directory; for what does not depend on how it is reached.

    Args:
        directory: where it and its configuration are made.

    Returns:
        The environment that names it, and the directory in which its files are.
    """
    if shutil.which("rclone") is None:
        pytest.skip("there is no rclone here; tools/bootstrap installs it")
    configuration = directory / "rclone.conf"
    configuration.write_text(f"[store]\ntype = alias\nremote = {directory / 'far'}\n", "utf-8")
    environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": str(configuration), "KIJUN_REPORT_STORE": PLACE}
    return environment, directory / "far" / "kijun" / "reports"


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory: path -> content."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def injected(inputs: Mapping[str, str], name: str = "Kijun report store") -> dict[str, dict[str, str]]:
    """What AWX injects by a credential of a type of awx/configuration: files and environment, as `Credentials` has it.

    Args:
        inputs: of the credential.
        name: of the type.
    """
    text = (tree.ROOT / "awx/configuration/base.yml").read_text("utf-8")
    types = yaml.load(text, Loader=_Unsafe)["controller_credential_types"]
    injectors: dict[str, Any] = next(one for one in types if one["name"] == name)["injectors"]
    files = {key.removeprefix("template."): value for key, value in injectors.get("file", {}).items()}
    # The runner puts the files' paths in place of these.
    known = {**inputs, "tower": {"filename": {key: "{%s}" % key for key in files}}}
    fill = lambda value: jinja2.Template(value, keep_trailing_newline=True).render(known)  # noqa: E731
    return {
        "files": {key: fill(value) for key, value in files.items()},
        "environment": {key: fill(value) for key, value in injectors["env"].items()},
    }


class _Unsafe(yaml.SafeLoader):
    """Reads what is marked for Ansible as the text that it is."""


_Unsafe.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
