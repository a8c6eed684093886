"""Checks a deliverable without the vendor's tools: its Makefile runs with stand-ins that check what they are given."""

from flows.deliver.check.run import FAULTS, Finding, check_folder, tcl_interpreter

__all__ = ["FAULTS", "Finding", "check_folder", "tcl_interpreter"]
