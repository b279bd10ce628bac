# SPDX-License-Identifier: GPL-3.0-or-later
"""What the developer's commands in tools/ and the tests of the tree share."""
