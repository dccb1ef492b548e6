"""Which designs the page shows."""

from __future__ import annotations

from otoyol.errors import SpecError
from otoyol.spec import Spec, parse

MOST_BLOCKS = 1_024  # walking through the operators of deeper designs takes seconds: they are the command line's


def parse_shown(text: str) -> Spec:
    """A design that the page can show. Raises SpecError."""
    return check_shown(parse(text))


def check_shown(spec: Spec) -> Spec:
    """The spec itself. Raises SpecError where it is too deep."""
    blocks = sum(plan.depth for plan in spec.plan)
    if blocks > MOST_BLOCKS:
        raise SpecError(
            "depths", f"{blocks} blocks", f"at most {MOST_BLOCKS} on this page; the command line takes more"
        )
    return spec
