# SPDX-License-Identifier: GPL-3.0-or-later
# Managed by Kijun (role privileges).
# What root makes is root's, unless root says otherwise.
if [ "$(id -u)" = 0 ]; then
  umask 027
fi
