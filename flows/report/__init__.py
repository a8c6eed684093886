"""Reports: tables of what the store of runs holds, on the terminal, as Markdown, and as CSV."""

from flows.report.write import write_report

__all__ = ["write_report"]
