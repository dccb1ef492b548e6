"""Reading what the user named: a spec in its text form, a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otoyol.errors import SpecError

if TYPE_CHECKING:
    from otoyol.spec import Spec

STANDARD_INPUT = "/dev/stdin"


def read_spec(text: str) -> Spec:
    """The spec that ``text`` names. Raises SpecError.

    ``-`` and ``/dev/stdin`` are standard input, a name that ends in .yaml, .yml, .toml or .json is a file, anything
    else the text form.
    """
    from otoyol.spec.files import SUFFIXES, load
    from otoyol.spec.text import parse

    if text in ("-", STANDARD_INPUT):
        return _standard_input()
    if Path(text).suffix in SUFFIXES:
        return load(text)
    return parse(text)


def _standard_input() -> Spec:
    """One line is a text form; more is YAML, and so JSON (a file can be TOML too)."""
    from otoyol.spec.files import MAX_BYTES, from_mapping, loads
    from otoyol.spec.text import parse

    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SpecError("standard input", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SpecError("standard input", f"byte {error.start}", "UTF-8 text") from None
    if text.startswith("{"):
        return from_mapping(loads(text, ".json"))
    if "\n" in text or ": " in text:
        return from_mapping(loads(text, ".yaml"))
    return parse(text)


def label(spec: Spec) -> str:
    """The spec's text form; a design whose family is not one of ours is written from ``custom``."""
    from otoyol.spec.text import any_text

    return any_text(spec)


def title(spec: Spec) -> str:
    """The text form, after the design's own name where it has one."""
    from otoyol.spec import FAMILIES

    return label(spec) if spec.family in FAMILIES else f"{spec.family}: {label(spec)}"
