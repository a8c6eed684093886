"""The dashboard: a self-contained HTML page per run of the store, an index, and figures for papers."""

from flows.dashboard.build import Built, build_dashboard

__all__ = ["Built", "build_dashboard"]
