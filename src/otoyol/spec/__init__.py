"""Specs: one frozen description of a residual backbone, its families, files and text form."""

from otoyol.spec.blocks import BLOCKS, Block, block_text
from otoyol.spec.families import FAMILIES, family
from otoyol.spec.files import dumps, from_mapping, load, save, to_mapping
from otoyol.spec.model import Spec
from otoyol.spec.parts import Attention, Head, Input, Norm, Shortcut, Stage, Stem
from otoyol.spec.text import edit, parse, to_text

__all__ = [
    "BLOCKS", "FAMILIES", "Attention", "Block", "Head", "Input", "Norm", "Shortcut", "Spec", "Stage", "Stem",
    "block_text", "dumps", "edit", "family", "from_mapping", "load", "parse", "save", "to_mapping", "to_text",
]  # fmt: skip
