"""Fuzzing: whatever comes in, a spec or a SpecError comes out."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otoyol
from otoyol.errors import SpecError
from otoyol.spec import FAMILIES, Spec, family, from_mapping, to_mapping
from otoyol.spec.data import loads
from otoyol.spec.text import COLUMNS

KEYS = [*Spec.model_fields, *COLUMNS, "stage1.width", "stage2.block", "stem.kernels", "norm.eps", "attention.place",
        "shortcut.gate", "head.pool", "input.height", "stage3.", ".", "stage0.width"]  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(
        ["default", "true", "nan", "none", "se", "D", "-", "0", "1e9", "3/0", "/conv3/", "group", "v2", "4-4"]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.text("0123456789abconv.-/x", max_size=30),
)
EDITS = st.lists(st.tuples(st.sampled_from(KEYS), WORDS).map("=".join), max_size=6).map(",".join)


def attempt(read: Callable[[Any], Spec], given: Any) -> Spec | None:
    """The spec, or None where it is refused in one line."""
    try:
        return read(given)
    except SpecError as error:
        is_one_line(str(error))
        return None


def is_one_line(message: str) -> None:
    assert message.isprintable()
    assert len(message) < 600


@settings(max_examples=1000)
@given(st.one_of(st.text(max_size=60), st.tuples(st.sampled_from(sorted(FAMILIES)), EDITS).map("@".join)))
def test_any_text(text: str) -> None:
    spec = attempt(otoyol.parse, text)
    if spec is not None:
        assert otoyol.parse(otoyol.to_text(spec)) == spec


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12))
NAMES = st.one_of(
    st.sampled_from([*KEYS[:20], "kind", "depth", "width", "branch", "place", "eps"]), st.text(max_size=6)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


BASES = [to_mapping(family(name)) for name in ("resnet50", "resnetv2_50d", "cifar_resnet110_exclusive")]


@settings(max_examples=600)
@given(st.sampled_from(BASES), st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=3))
def test_any_mapping(base: dict[str, Any], changes: list[tuple[str, object]]) -> None:
    fields = copy.deepcopy(base)
    places = [fields, fields["stages"][0]]
    for name, value in changes:
        places[len(name) % 2][name] = value
    spec = attempt(from_mapping, fields)
    if spec is not None:
        assert from_mapping(to_mapping(spec)) == spec


@pytest.mark.parametrize("suffix", [".yaml", ".toml", ".json"])
@settings(max_examples=400)
@given(st.one_of(st.text(max_size=200), st.text("{}[]:,-&*!|>'\"% #\n\t ?.=0a~<", max_size=120)))
def test_any_file_text(suffix: str, text: str) -> None:
    with contextlib.suppress(SpecError):
        from_mapping(loads(text, suffix))


@pytest.mark.parametrize("suffix", [".yaml", ".toml", ".json"])
@settings(max_examples=150)
@given(data=st.binary(max_size=300))
def test_any_bytes(suffix: str, data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(SpecError):
        otoyol.load(path)
