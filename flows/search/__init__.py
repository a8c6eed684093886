"""Search for the hardware configuration of a network on a board."""

from flows.search.find import search
from flows.search.limits import LIMITS, Parts, Placement, Shortage, parse_limits, place
from flows.search.result import Point, SearchResult, pareto_set

__all__ = ["LIMITS", "Parts", "Placement", "Point", "SearchResult", "Shortage", "pareto_set", "parse_limits", "place",
           "search"]
