# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on hosts of the lab."""
