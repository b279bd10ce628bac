# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail to people about findings, within seconds; kept and tried again while the mail server is away."""

from __future__ import annotations

import contextlib
import json
import os
import smtplib
import ssl
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from .findings import stored
from .keeper import read_json, write
from .records import day_of
from .review import DAY
from .rules import SEVERITIES

PAUSE = 2.0
AGAIN = 30.0
"""Seconds until what could not be sent is tried again."""

SHOWN = 50
"""Findings that a mail describes; it says how many more there are."""


def send_by_smtp(message: EmailMessage, mail: dict[str, Any]) -> None:
    """Hand a mail to the mail server (RFC 5321; with TLS by STARTTLS, RFC 3207).

    Args:
        message: the mail.
        mail: ``server``, ``port`` and ``tls``.

    Raises:
        OSError: the server is away, its certificate is not its own, or it does not take the mail.
    """
    with smtplib.SMTP(mail["server"], int(mail["port"]), timeout=30) as server:
        if mail["tls"]:
            server.starttls(context=ssl.create_default_context())
        server.send_message(message)


class Alerts:
    """Tells people of findings, each once.

    Args:
        state: where findings are, and its own notes.
        name: of this log server.
        mail: ``to`` (addresses), ``from``, ``least`` (the least severity that is told), and what `send_by_smtp` needs.
        send: hands a mail over.
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        state: str,
        name: str,
        mail: dict[str, Any],
        send: Callable[[EmailMessage, dict[str, Any]], None] = send_by_smtp,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.state, self.name, self.mail, self.send, self.now = state, name, mail, send, now
        self.notes = os.path.join(state, "alerts.json")
        self.told: dict[str, str] = {}
        """Findings that were told of -> their day."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            self.told = dict(read_json(self.notes)["told"])
        self.problem = ""

    def look(self) -> int:
        """Tell of what is new.

        Returns:
            How many findings were told of.
        """
        since = day_of(self.now() - DAY)
        least = SEVERITIES.index(self.mail["least"])
        new = [
            finding
            for finding in stored(os.path.join(self.state, "findings"), since)
            if finding["id"] not in self.told and SEVERITIES.index(finding["severity"]) >= least
        ]
        self.problem = ""
        if new:
            try:
                self.send(self.message(new), self.mail)
            except OSError as error:
                self.problem = "%d findings could not be told: %s" % (len(new), error)
                new = []
        self.told.update({finding["id"]: finding["day"] for finding in new})
        self.told = {name: day for name, day in self.told.items() if day >= since}
        note = {"time": int(self.now()), "told": self.told, "problem": self.problem}
        write(self.notes, json.dumps(note, sort_keys=True) + "\n")
        return len(new)

    def message(self, findings: list[dict[str, Any]]) -> EmailMessage:
        """The mail. It says what was found and where to read on, and holds no record: mail is read by many eyes."""
        worst = max(findings, key=lambda finding: SEVERITIES.index(finding["severity"]))
        mail = EmailMessage()
        mail["Subject"] = "[kijun] %s: %s / %s%s" % (
            worst["severity"],
            worst["title"]["en"],
            worst["title"]["ja"],
            " (+%d)" % (len(findings) - 1) if len(findings) > 1 else "",
        )
        mail["From"], mail["To"] = self.mail["from"], ", ".join(self.mail["to"])
        mail["Date"], mail["Message-ID"] = formatdate(self.now()), make_msgid(domain=self.name)
        mail["Auto-Submitted"] = "auto-generated"
        parts = [self._said(finding) for finding in findings[:SHOWN]]
        if len(findings) > SHOWN:
            parts.append("%d more / 他%d件" % (len(findings) - SHOWN, len(findings) - SHOWN))
        parts.append("Log server / ログサーバー: %s" % self.name)
        mail.set_content("\n\n".join(parts) + "\n", charset="utf-8", cte="base64")
        return mail

    @staticmethod
    def _said(finding: dict[str, Any]) -> str:
        group = ", ".join("%s %s" % pair for pair in sorted(finding["group"].items()))
        return "%s\n%s\n  %s, %s, %s\n  %s - %s, %d\n  %s" % (
            finding["title"]["en"],
            finding["title"]["ja"],
            finding["severity"],
            finding["rule"],
            group,
            finding["first"],
            finding["last"],
            finding["count"],
            finding["id"],
        )

    def run(self) -> None:
        """Look again and again; does not return."""
        said = ""
        while True:
            self.look()
            if self.problem != said:
                said = self.problem
                # Into the journal, and so to the other log servers.
                print(said or "findings are told again", flush=True)
            time.sleep(AGAIN if self.problem else PAUSE)
