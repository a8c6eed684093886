"""Sweeps over networks, hardware configurations and boards: many points by models, the best of them in RTL."""

from flows.sweep.plan import Plan, load_plan
from flows.sweep.run import sweep

__all__ = ["Plan", "load_plan", "sweep"]
