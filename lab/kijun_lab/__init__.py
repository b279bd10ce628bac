# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: podman containers that run a real systemd and sshd, as hosts to harden, audit and attack."""
