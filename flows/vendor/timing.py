"""``report_timing_summary``: slack, and the frequency that it means."""

from __future__ import annotations

from dataclasses import dataclass

from flows.vendor.table import ReportError, ruled_tables

MET = "All user specified timing constraints are met."
NOT_MET = "Timing constraints are not met."
UNCONSTRAINED = "There are no user specified timing constraints."


@dataclass(frozen=True)
class Timing:
    """Timing of a design.

    Attributes
    ----------
    met : all constraints are met
    wns, tns, whs, ths, wpws : worst and total slack (setup, hold) and worst slack of pulse widths, in ns; None where
        the report says NA
    clock : the clock that limits: lowest reachable frequency in relation to its own
    period : of that clock, in ns
    fmax_mhz : ``1000 / (period - worst setup slack of the clock)``; None when no path has been timed
    """

    met: bool
    wns: float | None
    tns: float | None
    whs: float | None
    ths: float | None
    wpws: float | None
    clock: str
    period: float
    fmax_mhz: float | None

    @property
    def clock_mhz(self) -> float:
        """Frequency that was asked for."""
        return 1000 / self.period


def parse_timing(text: str, name: str = "timing report", clock: str | None = None) -> Timing:
    """Parse ``report_timing_summary``.

    Parameters
    ----------
    text : of the report
    name : of the file, for messages
    clock : the clock to report; by default the one that limits

    Raises
    ------
    ReportError
        When the verdict, the summary or the clocks are missing, nothing was constrained, or there is no such clock.
    """
    if UNCONSTRAINED in text:
        raise ReportError(f"{name}: nothing was constrained, so nothing was timed")
    if MET not in text and NOT_MET not in text:
        raise ReportError(f"{name} does not say whether timing is met; is it a report_timing_summary?")
    tables = list(ruled_tables(text))
    summary = _row(tables, name)
    periods, slacks = _clocks(tables, name)
    chosen = clock if clock is not None else _limiting(periods, slacks)
    if chosen not in periods:
        raise ReportError(f"{name} has no clock {chosen!r}; clocks: {', '.join(periods)}")
    slack = slacks.get(chosen, summary["WNS(ns)"] if len(periods) == 1 else None)
    fmax = None if slack is None else 1000 / (periods[chosen] - slack)
    return Timing(MET in text, summary["WNS(ns)"], summary["TNS(ns)"], summary["WHS(ns)"], summary["THS(ns)"],
                  summary.get("WPWS(ns)"), chosen, periods[chosen], fmax)


def _row(tables: list, name: str) -> dict[str, float | None]:
    """The one row of the design timing summary."""
    for table in tables:
        if table.titles[0] == "WNS(ns)" and table.rows:
            values = {title: _slack(cell, name) for title, cell in zip(table.titles, table.rows[0], strict=True)}
            if missing := {"WNS(ns)", "TNS(ns)", "WHS(ns)", "THS(ns)"} - set(values):
                raise ReportError(f"{name}: the summary has no column {min(missing)}")
            return values
    raise ReportError(f"{name} has no Design Timing Summary")


def _clocks(tables: list, name: str) -> tuple[dict[str, float], dict[str, float]]:
    """Period by clock, and worst setup slack within a clock, where it has timed paths."""
    periods: dict[str, float] = {}
    slacks: dict[str, float] = {}
    for table in tables:
        clock, period, slack = (table.column(title) for title in ("Clock", "Period(ns)", "WNS(ns)"))
        for row in table.rows:
            if clock is not None and period is not None:
                value = _slack(row[period], name)
                if value is not None:
                    periods[row[clock].strip()] = value
            elif clock is not None and slack is not None and row[slack]:
                value = _slack(row[slack], name)
                if value is not None:
                    slacks[row[clock].strip()] = value
    if not periods:
        raise ReportError(f"{name} has no Clock Summary")
    return periods, slacks


def _limiting(periods: dict[str, float], slacks: dict[str, float]) -> str:
    """The clock with the least slack in relation to its period; the first when none has timed paths."""
    timed = {clock: slacks[clock] / period for clock, period in periods.items() if clock in slacks}
    return min(timed, key=lambda clock: timed[clock]) if timed else next(iter(periods))


def _slack(text: str, name: str) -> float | None:
    if text in ("", "NA", "inf", "N/A"):
        return None
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise ReportError(f"{name}: {text!r} is no number; is this a report of another release?") from None
