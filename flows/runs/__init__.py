"""What runs leave behind, for reports and dashboards: one folder per run below ``out/runs``."""

from flows.runs.store import KINDS, Kept, find, keep, kept_by, runs_folder, stamp

__all__ = ["KINDS", "Kept", "find", "keep", "kept_by", "runs_folder", "stamp"]
