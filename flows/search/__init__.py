"""Search for the hardware configuration of a network on a board."""

from flows.search.find import search, settle
from flows.search.limits import LIMITS, Parts, Placement, Shortage, limits_with, parse_limits, place
from flows.search.result import Point, SearchResult, pareto_set

__all__ = ["LIMITS", "Parts", "Placement", "Point", "SearchResult", "Shortage", "limits_with", "pareto_set",
           "parse_limits", "place", "search", "settle"]
