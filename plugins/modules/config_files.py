#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host side of the step that puts many configuration files in place together."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: config_files
short_description: Put many configuration files in place together, or none of them
version_added: "0.1.0"
description:
  - Renders templates on the controller, has the candidates checked by their owners' own validators, and then puts all
    files in place. When anything is wrong, nothing is changed.
  - A run that is killed at any moment leaves either all old files or all new ones. What a power loss interrupts is
    finished, or taken back, by the next step on that host.
  - Commands of O(generate) and O(validate) see the configuration as it would be, at its real paths, in a private mount
    namespace. Everything else is read-only for them, and all that they write is gone when they end, except what
    O(generate[].writes) names.
  - Earlier versions are kept below C(/var/lib/kijun/config_files/generations), where root alone can read them. A
    generation mirrors the replaced files below C(files/), with their owners and modes, beside a C(manifest.json).
  - Symbolic links are never followed at a target, nor above it unless they belong to root. Directories above a target
    must belong to root and be writable by root only. Directories that are missing above a file are made (root, 0755).
author:
  - Kijun contributors
options:
  files:
    description:
      - The files, directories and absent paths. Their order does not matter.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path on the host.
        type: path
        required: true
      state:
        description:
          - V(file) needs exactly one of O(files[].template), O(files[].source), O(files[].content) and
            O(files[].settings).
          - V(directory) makes a directory, or sets the owner, group and mode of one.
          - V(absent) removes a file or a symbolic link.
        type: str
        choices: [file, directory, absent]
        default: file
      template:
        description:
          - Template that gives the content, found as P(ansible.builtin.template#module) finds its O(ignore:src).
        type: str
      source:
        description:
          - File of the controller that gives the content, found as P(ansible.builtin.copy#module) finds its
            O(ignore:src).
        type: str
      content:
        description: The content itself.
        type: str
      settings:
        description:
          - Keys and values to set in an existing file of C(KEY value) lines. Lines that set a key again are dropped,
            every other line is kept. V(null) removes a key.
          - The file keeps its owner, group and mode unless they are given.
        type: dict
      separator:
        description:
          - What O(files[].settings) writes between a key and its value. When it holds more than blanks, such as V( = ),
            only lines with that sign count as setting a key.
        type: str
        default: " "
      owner:
        description: Name or number of the owner; V(root) when not given.
        type: str
      group:
        description: Name or number of the group; V(root) when not given.
        type: str
      mode:
        description: Octal mode in quotes; V("0644") when not given, V("0755") for a directory.
        type: str
      secret:
        description:
          - The content appears in no result, diff, log or error. Whatever a validator says about it is withheld too.
        type: bool
        default: false
      validate:
        description:
          - Command that checks this candidate alone, with C(%s) standing for its path. It runs only when the file
            changes.
        type: str
  generate:
    description:
      - Commands that run in the candidate view after O(files) are applied there, and whose effect on some directories
        becomes part of the same transaction.
      - One is skipped when nothing could come out differently. That is, no file of the step changes, and the command
        and all that lies below O(generate[].writes) and O(generate[].reads) is as it was after its last run.
    type: list
    elements: dict
    default: []
    suboptions:
      command:
        description: Program and arguments; no shell.
        type: list
        elements: str
        required: true
      writes:
        description: Directories whose changes are kept.
        type: list
        elements: path
        required: true
      reads:
        description: Further directories that the result depends on.
        type: list
        elements: path
        default: []
      secret:
        description: Never show what the command changed in a file.
        type: bool
        default: false
  validate:
    description:
      - Commands (program and arguments, no shell) that run in the candidate view, with the whole resulting
        configuration at its real paths, after O(generate). They run only when something changes. Each must exit with
        status 0 within 120 seconds.
    type: list
    elements: list
    default: []
  scratch:
    description:
      - Directories that the commands may write to besides C(/tmp), C(/var/tmp) and C(/var/cache/debconf). What they
        write there is thrown away.
    type: list
    elements: path
    default: []
  keep_generations:
    description: How many earlier states of the host are kept, from 1 to 1000.
    type: int
    default: 5
  guard:
    description:
      - Given, with or without suboptions, what changes can cut access, so it is applied under the guard. What was there
        before is kept, and comes back unless M(kijun.baseline.guard) confirms the change, or when a step after it
        fails.
    type: dict
    suboptions:
      undo:
        description: Commands (program and arguments, no shell) that run once the files are back as they were.
        type: list
        elements: list
        default: []
      state:
        description: What no file holds. It is saved before the files change, and loaded once they are back.
        type: list
        elements: dict
        default: []
        suboptions:
          save:
            description: Command whose output is kept.
            type: list
            elements: str
            required: true
          load:
            description: Command that takes this output on standard input.
            type: list
            elements: str
            required: true
      run:
        description: The run that changes the host. Filled in by the controller's part of this step; leave it out.
        type: str
      seconds:
        description: How long the change may stay unconfirmed. Filled in from the variable C(kijun_guard_seconds).
        type: int
  contents:
    description: Content by path, in Base64. Filled in by the controller's part of this step; leave it out.
    type: dict
    default: {}
  secret_contents:
    description: The same for secret files. Leave it out.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description:
      - Predicts exactly what a run changes. A command or an owner that is not there yet is named in RV(unvalidated).
  diff_mode:
    support: full
    description: Shows content, owner, group and mode of each changed file; of a secret one only that it changes.
  platform:
    support: full
    platforms: posix
    description: Linux hosts with Python 3.9 or later. O(generate) and O(validate) need the right to mount.
"""

EXAMPLES = r"""
- name: Configure the lockout and the password rules
  kijun.baseline.config_files:
    files:
      - path: /usr/share/pam-configs/example-faillock
        template: faillock.j2
      - path: /etc/security/faillock.conf
        template: faillock.conf.j2
      - path: /etc/login.defs
        settings:
          PASS_MAX_DAYS: 90
          ENCRYPT_METHOD: YESCRYPT
        separator: "\t"
      - path: /var/lib/faillock
        state: directory
    generate:
      - command: [pam-auth-update, --package, --enable, example-faillock]
        writes: [/etc/pam.d, /var/lib/pam]
        reads: [/usr/share/pam-configs]

- name: Configure the SSH server and sudo
  kijun.baseline.config_files:
    files:
      - path: /etc/ssh/sshd_config.d/10-example.conf
        content: |
          PermitRootLogin no
      - path: /etc/ssh/sshd_config.d/50-old.conf
        state: absent
      - path: /etc/sudoers.d/10-example
        source: sudoers
        mode: "0440"
        validate: visudo -cf %s
      - path: /etc/example/token
        content: "{{ example_token }}"
        mode: "0600"
        secret: true
    validate:
      - [sshd, -t]
  register: ssh_files
  notify: Reload the SSH server
"""

RETURN = r"""
changed_files:
  description: Paths that changed, sorted. In check mode, that would change.
  returned: always
  type: list
  elements: str
  sample: [/etc/security/faillock.conf]
files:
  description:
    - What happened to each path of the task, and to each path that a generate command changed. One of V(created),
      V(changed), V(attributes) (only owner, group or mode), V(absent) (removed), V(recovered) (an interrupted earlier
      run was finished) and V(unchanged).
  returned: always
  type: dict
  sample: {/etc/security/faillock.conf: changed, /etc/login.defs: unchanged}
generation:
  description: Number of the generation that keeps what was replaced; none when nothing changed, and in check mode.
  returned: always
  type: int
  sample: 7
backups:
  description: Where the earlier version of each replaced or removed file is kept.
  returned: always
  type: dict
  sample: {/etc/security/faillock.conf: /var/lib/kijun/config_files/generations/7/files/etc/security/faillock.conf}
unvalidated:
  description:
    - Check mode only. Commands that could not run, and owners that do not exist yet, as their packages are missing.
  returned: always
  type: list
  elements: str
  sample: ["chronyd -p: chronyd is not installed yet"]
"""

import base64
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.candidate_view import Generator
from ..module_utils.file_diff import diff_of
from ..module_utils.file_state import FileTransactionError
from ..module_utils.file_transaction import FileTransaction, Outcome
from ..module_utils.guard import Guard, GuardError

FILE_OPTIONS = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
    "settings": {"type": "dict"},
    "separator": {"type": "str", "default": " "},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str"},
    "secret": {"type": "bool", "default": False, "no_log": False},
    "validate": {"type": "str"},
}
GENERATE_OPTIONS = {
    "command": {"type": "list", "elements": "str", "required": True},
    "writes": {"type": "list", "elements": "path", "required": True},
    "reads": {"type": "list", "elements": "path", "default": []},
    "secret": {"type": "bool", "default": False, "no_log": False},
}
ARGUMENTS = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE_OPTIONS},
    "generate": {"type": "list", "elements": "dict", "default": [], "options": GENERATE_OPTIONS},
    "validate": {"type": "list", "elements": "list", "default": []},
    "scratch": {"type": "list", "elements": "path", "default": []},
    "keep_generations": {"type": "int", "default": 5},
    "guard": {
        "type": "dict",
        "options": {
            "run": {"type": "str"},
            "seconds": {"type": "int"},
            "undo": {"type": "list", "elements": "list", "default": []},
            "state": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "save": {"type": "list", "elements": "str", "required": True},
                    "load": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
    },
    "contents": {"type": "dict", "default": {}},
    "secret_contents": {"type": "dict", "default": {}, "no_log": True},
}


def result_of(outcome: Outcome) -> dict[str, Any]:
    """Give an outcome in the form of the module's documented result."""
    statuses = dict.fromkeys(outcome.unchanged, "unchanged")
    statuses.update(dict.fromkeys(outcome.recovered, "recovered"))
    statuses.update({change.path: change.verb for change in outcome.changes})
    changed_files = sorted(path for path, status in statuses.items() if status != "unchanged")
    return {
        "changed": bool(changed_files),
        "changed_files": changed_files,
        "files": statuses,
        "generation": outcome.generation,
        "backups": outcome.backups,
        "unvalidated": outcome.unvalidated,
    }


def main() -> None:
    """Run the step with the module's arguments."""
    # no_log here keeps the arguments, file contents among them, out of the host's syslog.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, no_log=True)
    given = module.params
    if os.geteuid() != 0:
        module.fail_json(
            msg=f"config_files needs root on the host and runs as user id {os.geteuid()}: set become: true"
        )
    if not 1 <= given["keep_generations"] <= 1000:
        module.fail_json(msg=f"keep_generations: {given['keep_generations']}; 1 to 1000 is allowed")
    os.umask(0o077)
    encoded = {**given["contents"], **given["secret_contents"]}
    files = [{**entry, "content": base64.b64decode(encoded.get(entry["path"], ""))} for entry in given["files"]]
    guard, armed = given["guard"], []
    keeper = Guard()

    def arm(paths: list[str]) -> None:
        keeper.arm(guard, paths)
        armed.append(True)

    try:
        if guard and not module.check_mode:
            keeper.settle(guard["run"])
        outcome = FileTransaction().run(
            files=files,
            generators=[Generator(**entry) for entry in given["generate"]],
            validators=[[str(word) for word in command] for command in given["validate"]],
            scratch=given["scratch"],
            keep_generations=given["keep_generations"],
            check=module.check_mode,
            before_commit=arm if guard else None,
        )
    except (FileTransactionError, GuardError) as error:
        module.fail_json(msg=str(error), changed_files=[], guard_armed=bool(armed))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename}: {error.strerror}; nothing was changed", changed_files=[], guard_armed=bool(armed)
        )
    result = result_of(outcome)
    result["guard_armed"] = bool(armed)
    if module._diff:
        result["diff"] = [part for change in outcome.changes for part in diff_of(change)]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
