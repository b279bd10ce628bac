# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping and reading what log servers receive; there it is the package kijun_logs, below /usr/local/lib/kijun."""
