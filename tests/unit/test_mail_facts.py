# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host takes mail in, and why some of it would not be scanned."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.mail import mail

HEADER = "  sl  local_address rem_address   st\n"
REST = "00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1"
EVERYWHERE, LOOPBACK, MILTER = "00000000:0019", "0100007F:0019", "0100007F:1CBD"
GOOD = "inet:127.0.0.1:7357\ntempfail\n10240000\n"


class Given(Host):
    """A host of given sockets and settings."""

    def __init__(self, root: Path, listening: list[str], settings: str = GOOD, overrides: str = "") -> None:
        super().__init__(str(root))
        self.said = {"-h": settings, "-P": overrides}
        (root / "proc/net").mkdir(parents=True)
        rows = "".join(f"   {number}: {one} {REST}\n" for number, one in enumerate(listening))
        (root / "proc/net/tcp").write_text(HEADER + rows, encoding="utf-8")
        (root / "etc/postfix").mkdir(parents=True)
        (root / "etc/clamav").mkdir(parents=True)
        (root / "etc/postfix/main.cf").write_text("smtpd_milters = x\n", encoding="utf-8")
        (root / "etc/clamav/clamav-milter.conf").write_text("User clamav\nMaxFileSize 50M\n", encoding="utf-8")

    def run(self, *command: str) -> str:
        assert command[0] == "postconf"
        return self.said[command[1]]


def test_a_host_that_takes_no_mail_in_scans_none(tmp_path: Path) -> None:
    assert mail(Given(tmp_path, [LOOPBACK], "\naccept\n0\n"), []) == {"received": [], "unscanned": []}


def test_mail_is_scanned_by_a_milter_that_answers(tmp_path: Path) -> None:
    host = Given(tmp_path, [EVERYWHERE, MILTER], overrides="submission/inet/smtpd_milters = inet:127.0.0.1:7357\n")
    assert mail(host, []) == {"received": ["0.0.0.0 port 25"], "unscanned": []}


@pytest.mark.parametrize(
    ("listening", "settings", "overrides", "said"),
    [
        ([MILTER], "inet:127.0.0.1:73570\ntempfail\n1\n", "", "smtpd_milters: clamav-milter is not among them"),
        ([MILTER], GOOD, "smtp/inet/smtpd_milters = \n", "smtp/inet/smtpd_milters: clamav-milter is not among them"),
        ([MILTER], GOOD.replace("tempfail", "accept"), "", "milter_default_action accept lets it in unscanned"),
        ([MILTER], GOOD.replace("10240000", "0"), "", "message_size_limit 0 is more than the 52428800 bytes"),
        ([MILTER], GOOD.replace("10240000", "99999999"), "", "message_size_limit 99999999 is more than"),
        ([], GOOD, "", "clamav-milter does not answer"),
    ],
)
def test_what_would_come_in_unscanned_is_told(
    tmp_path: Path, listening: list[str], settings: str, overrides: str, said: str
) -> None:
    (told,) = mail(Given(tmp_path, [EVERYWHERE, *listening], settings, overrides), [])["unscanned"]
    assert told.startswith(said)


def test_another_server_is_not_known_to_scan(tmp_path: Path) -> None:
    host = Given(tmp_path, [EVERYWHERE])
    (tmp_path / "etc/postfix/main.cf").unlink()
    assert mail(host, [])["unscanned"] == ["a server other than Postfix takes it in"]
