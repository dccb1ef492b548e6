"""Ops: the same network as a flat list of facts. ``lower(spec)`` is the way in."""

from otoyol.ops.network import lower
from otoyol.ops.op import INPUT, Op, Ops, Tap

__all__ = ["INPUT", "Op", "Ops", "Tap", "lower"]
