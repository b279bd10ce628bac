# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary printed at the end of a run: a line or two for each host, worst last, next to the totals."""

from __future__ import annotations

from typing import Any

from .model import VERDICTS, Ending, Host, Report
from .texts import TEXTS
from .values import one_line

#: How many failed controls, or changed tasks, a host's line names.
NAMED = 3


class Summary:
    """Words a run's outcome in one language.

    Each line is a pair (text, state); state is ``ok``, ``changed`` or ``bad`` and lets the caller colour it.

    :param language: ``en`` or ``ja``.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._words = TEXTS[language]

    def audit(self, report: Report) -> list[tuple[str, str]]:
        """The lines of an audit."""
        width = _width(report.hosts)
        hosts = sorted(report.hosts.values(), key=lambda host: (_weight(report, host), host.name))
        lines = [self._audited(report, host, width) for host in hosts]
        return [*lines, *map(self._ending, report.ending()), self._totals(report)]

    def changes(
        self, hosts: list[str], changed: dict[str, list[tuple[str, list[str]]]], errors: dict[str, str]
    ) -> list[tuple[str, str]]:
        """The lines of a run that enforces.

        :param hosts: every host that took part.
        :param changed: for each host its changed tasks: name, and what the task says it changed.
        :param errors: the error that ended the run for a host.
        """
        width = _width(hosts)
        ordered = sorted(hosts, key=lambda host: (host in errors, host in changed, host))
        lines = [self._enforced(host, width, changed.get(host, []), errors.get(host)) for host in ordered]
        totals = self._words["print_changes"].format(
            hosts=len(hosts), changed=len(changed.keys() & set(hosts)), failed=len(errors.keys() & set(hosts))
        )
        return [*lines, (totals, "bad" if errors else "ok")]

    def _audited(self, report: Report, host: Host, width: int) -> tuple[str, str]:
        """One host of an audit."""
        name = one_line(host.name).ljust(width)
        if host.unaudited is not None:
            return f"  {name}  {self._words['unaudited']}: {one_line(host.unaudited)}", "bad"
        bad = [result for result in report.results(host) if result["verdict"] in ("fail", "error")]
        bad.sort(key=lambda result: VERDICTS.index(result["verdict"]))
        line = f"  {name}  {self._counts(report.totals(host))}"
        if not bad:
            return line, "ok"
        named = [one_line(f"{result['id']} {result['title'][self._language]}") for result in bad[:NAMED]]
        return f"{line}\n      {self._words['print_not_met']}: {self._some(named, len(bad))}", "bad"

    def _ending(self, ending: Ending) -> tuple[str, str]:
        """An exception that ends soon, or is over."""
        is_over = ending.exception["days_left"] < 0
        line = self._words["print_ended" if is_over else "print_ending"].format(
            id=ending.exception["id"],
            control=ending.result["id"],
            until=ending.exception["until"],
            hosts=self._some([one_line(name) for name in ending.hosts[:NAMED]], len(ending.hosts)),
        )
        return one_line(line, 400), "bad" if is_over else "changed"

    def _enforced(
        self, host: str, width: int, changed: list[tuple[str, list[str]]], error: str | None
    ) -> tuple[str, str]:
        """One host of a run that enforces."""
        line = f"  {one_line(host).ljust(width)}  "
        if changed:
            named = [_task(name, what) for name, what in changed[:NAMED]]
            line += self._words["print_changed"].format(count=len(changed)) + f": {self._some(named, len(changed))}"
        else:
            line += self._words["print_unchanged"]
        if error is not None:
            return f"{line}\n      {self._words['print_failed']}: {one_line(error, 400)}", "bad"
        return line, "changed" if changed else "ok"

    def _totals(self, report: Report) -> tuple[str, str]:
        """The line of totals."""
        unaudited = sum(host.unaudited is not None for host in report.hosts.values())
        totals = report.all_totals()
        line = self._words["print_totals"].format(hosts=len(report.hosts), counts=self._counts(totals))
        if unaudited:
            line += f", {self._words['unaudited']}: {unaudited}"
        return line, "bad" if unaudited or totals["fail"] or totals["error"] else "ok"

    def _counts(self, totals: dict[str, int]) -> str:
        """Verdicts and their numbers, those of which there are any."""
        return ", ".join(f"{self._words[verdict]} {totals[verdict]}" for verdict in VERDICTS if totals[verdict]) or "-"

    def _some(self, named: list[str], count: int) -> str:
        """Names, and how many more there are."""
        more = count - len(named)
        return "; ".join(named) + (self._words["print_more"].format(count=more) if more > 0 else "")


def changed_things(result: dict[str, Any]) -> list[str]:
    """What a task's result says it changed: the files, packages and units that Kijun's own modules name."""
    things: list[str] = []
    for key in ("changed_files", "packages", "units"):
        value = result.get(key)
        if isinstance(value, list):
            things += [str(item) for item in value if isinstance(item, (str, int))]
    return things


def _task(name: str, things: list[str]) -> str:
    """A changed task, with the first of what it changed."""
    if not things:
        return one_line(name)
    more = f" +{len(things) - NAMED}" if len(things) > NAMED else ""
    return one_line(f"{name} ({', '.join(things[:NAMED])}{more})")


def _weight(report: Report, host: Host) -> tuple[int, int]:
    """Sorts hosts: met, not met by how much, not audited."""
    totals = report.totals(host)
    return (host.unaudited is not None, totals["fail"] + totals["error"])


def _width(names: Any) -> int:
    """The column of host names, within reason."""
    return min(max((len(name) for name in names), default=0), 40)
