"""Search: spaces of designs, equal-budget matching, Pareto fronts. Never imports torch; scorers come as arguments."""

from otoyol.search.budget import Budget, Objective, parse_budget, parse_objective, placed
from otoyol.search.match import EQUAL, Match, match
from otoyol.search.sample import Chunk, draw, enumerate_all, size
from otoyol.search.space import Range, RegNet, Space, load_space, space_from, structures
from otoyol.search.stream import Design, Found, Progress, Scorer, search

__all__ = [
    "EQUAL", "Budget", "Chunk", "Design", "Found", "Match", "Objective", "Progress", "Range", "RegNet", "Scorer",
    "Space", "draw", "enumerate_all", "load_space", "match", "parse_budget", "parse_objective", "placed", "search",
    "size", "space_from", "structures",
]  # fmt: skip
