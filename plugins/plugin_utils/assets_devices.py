# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the export of a mobile device management against the book of assets. Pure functions: text in, findings out."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from .assets import Compared, Finding
from .ledger.books.assets import DEVICES
from .ledger.errors import LedgerError
from .ledger.interchange.columns import same
from .ledger.interchange.csv_file import read_csv

Fields = Mapping[str, Any]

KINDS = {
    "unknown_device": ("Devices that are in no ledger", "台帳にない端末"),
    "missing_device": ("Devices in use that their management does not know", "使用中だが管理システムにない端末"),
    "other_status": ("Devices that are managed, and should not be in use", "使用中でないはずの管理中端末"),
    "other_user": ("Devices that somebody else has", "利用者が台帳と異なる端末"),
    "not_encrypted": ("Devices that are not encrypted", "暗号化されていない端末"),
    "no_passcode": ("Devices that ask for no passcode", "認証のない端末"),
    "no_chip": ("Devices without a security chip that may be taken out", "セキュリティチップのない持ち出し端末"),
    "slow_lock": ("Devices whose screens lock too late", "画面ロックが遅い端末"),
    "cloud_sync": ("Devices that synchronise with a cloud", "クラウドと同期する端末"),
    "not_seen": ("Devices that their management has not heard of for long", "長期間通信のない端末"),
    "listed_twice": ("Serials that the export has twice", "重複するシリアル番号"),
    "not_told": ("What the export does not tell", "出力に記載のない項目"),
}
"""Kind of finding -> what it says, in the order in which a reader wants to see it."""

COLUMNS = ("serial", "user", "encrypted", "passcode", "security_chip", "lock_seconds", "cloud_sync", "last_seen")
"""What an export may tell; ``serial`` it must."""

LOCK_SECONDS = 60
"""Seconds after which an idle device is locked at the latest, clause SM-4.3.1-7b."""

YES = frozenset(("yes", "true", "1", "on", "enabled", "encrypted", "active", "はい", "有効", "あり", "済", "オン"))
NO = frozenset(("no", "false", "0", "off", "disabled", "not encrypted", "none", "いいえ", "無効", "なし", "未", "オフ"))

_STATES = {
    "encrypted": ("not_encrypted", False),
    "passcode": ("no_passcode", False),
    "security_chip": ("no_chip", False),
    "cloud_sync": ("cloud_sync", True),
}
"""Column -> the finding, and the answer that is one."""


def read_export(content: bytes, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """The devices of an export.

    Args:
        content: a CSV file: UTF-8, UTF-16 or Shift_JIS, separated by commas, tabs or semicolons.
        columns: what the export tells -> its heading there; ``serial`` among them, the others of `COLUMNS` as far as it
            has them.

    Returns:
        For each row: ``row``, and what its cells say: text for serial and user, whether or not, whole seconds, a date;
        None for an empty cell.

    Raises:
        LedgerError: it is no such file, lacks a column, or has a cell that cannot be understood; says which.
    """
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or "serial" not in columns:
        raise LedgerError(
            "columns has %s; it must name the heading of serial, and may name those of %s"
            % (", ".join(unknown) or "no serial", ", ".join(COLUMNS[1:]))
        )
    table = read_csv(content, {same(heading) for heading in columns.values()})
    places = {same(heading): place for place, heading in enumerate(table.headings)}
    missing = ["%s (%s)" % (heading, name) for name, heading in columns.items() if same(heading) not in places]
    if missing:
        raise LedgerError("the export has no column %s; it has %s" % (", ".join(missing), ", ".join(table.headings)))
    devices = []
    for row in table.rows:
        device: dict[str, Any] = {"row": row.number}
        for name, heading in columns.items():
            place = places[same(heading)]
            text = str(row.cells[place]).strip() if place < len(row.cells) else ""
            device[name] = _understood(name, text, row.number, heading)
        if not device["serial"]:
            raise LedgerError("row %d: %s is empty: which device is it?" % (row.number, columns["serial"]))
        devices.append(device)
    return devices


def _understood(name: str, text: str, row: int, heading: str) -> Any:
    """A cell's content; None where it is empty."""
    if not text:
        return None
    if name in ("serial", "user"):
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
    try:
        if name == "lock_seconds":
            return int(text)
        if name == "last_seen":
            return datetime.date.fromisoformat(text[:10].replace("/", "-")).isoformat()
    except ValueError:
        allowed = "a number of seconds" if name == "lock_seconds" else "a date such as 2026-11-20"
        raise LedgerError("row %d: %s is %r; it must be %s" % (row, heading, text[:80], allowed)) from None
    word = text.casefold()
    if word not in YES | NO:
        raise LedgerError("row %d: %s is %r; known are %s" % (row, heading, text[:80], ", ".join(sorted(YES | NO))))
    return word in YES


def compare_devices(
    assets: Iterable[Fields], devices: Iterable[Fields], day: datetime.date, silent_days: int = 30
) -> Compared:
    """Hold the devices of an export against the book.

    Args:
        assets: fields of the book's entries.
        devices: as `read_export` gives them.
        day: the day of judgement.
        silent_days: days without contact after which a device is named.
    """
    known = {one["serial"].casefold(): one for one in assets if one["kind"] in DEVICES and one["status"] != "disposed"}
    found, seen = Compared(), set()
    late = (day - datetime.timedelta(days=silent_days)).isoformat()
    for device in devices:
        serial = device["serial"]
        key = serial.casefold()
        asset = known.get(key)
        name = asset["id"] if asset else ""

        def note(kind: str, said: str, name: str = name, serial: str = serial) -> None:
            found.findings.append(Finding(kind, name, serial, said))

        if key in seen:
            note("listed_twice", "row %d" % device["row"])
            continue
        seen.add(key)
        found.machines += 1
        if asset is None:
            note("unknown_device", device.get("user") or "")
        else:
            if asset["status"] != "in_use":
                note("other_status", asset["status"])
            if device.get("user") and device["user"].casefold() != asset["user"].casefold():
                note("other_user", "%s, in the ledger %s" % (device["user"], asset["user"] or "nobody"))
        for column, (kind, wrong) in _STATES.items():
            if device.get(column) is wrong and (kind != "no_chip" or (asset and asset["take_out"])):
                note(kind, "")
        if (device.get("lock_seconds") or 0) > LOCK_SECONDS or device.get("lock_seconds") == 0:
            note("slow_lock", "%d seconds" % device["lock_seconds"] if device["lock_seconds"] else "never")
        if device.get("last_seen") and device["last_seen"] < late:
            note("not_seen", device["last_seen"])
        empty = [column for column in COLUMNS if column in device and device[column] is None]
        if empty:
            note("not_told", ", ".join(empty))
    for key, asset in known.items():
        if key not in seen and asset["status"] == "in_use":
            found.findings.append(Finding("missing_device", asset["id"], asset["serial"], asset["user"]))
    order = {kind: number for number, kind in enumerate(KINDS)}
    found.findings.sort(key=lambda one: (order[one.kind], one.asset, one.host, one.said))
    return found
