# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a host, in a repository on another one."""
