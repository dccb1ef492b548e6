"""Counting conventions: what each tool prints for any design, to the integer, and why the figures differ."""

from otoyol.cost.conventions.interpret import (
    CAUSES,
    Figures,
    Part,
    Row,
    count_as,
    explain_table,
    figures_as,
    part_text,
)
from otoyol.cost.conventions.presets import CONVENTIONS, WRITINGS, Convention, Hiding, Term, Writing
from otoyol.cost.conventions.quantities import QUANTITIES, QUANTITY_WORDS

__all__ = [
    "CAUSES", "CONVENTIONS", "QUANTITIES", "QUANTITY_WORDS", "WRITINGS",
    "Convention", "Figures", "Hiding", "Part", "Row", "Term", "Writing",
    "count_as", "explain_table", "figures_as", "part_text",
]  # fmt: skip
