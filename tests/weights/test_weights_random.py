"""Random designs: a rename table is one to one, and export and load undo each other."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs

from otoyol import Spec, WeightsError
from otoyol.nn import build
from otoyol.weights import export, load
from otoyol.weights.meaning import differences, of_spec
from otoyol.weights.names import entries, unnamed


@settings(max_examples=50)
@given(specs(), st.sampled_from(["torchvision", "timm"]))
def test_export_and_load_undo_each_other(spec: Spec, target: str) -> None:
    with torch.device("meta"):
        model = build(spec)
    if unnamed(spec, target):  # type: ignore[arg-type]
        try:
            entries(spec, target)  # type: ignore[arg-type]
        except WeightsError:
            return
        raise AssertionError("a design with parts that have no name got a table")
    table = entries(spec, target)  # type: ignore[arg-type]
    assert len({entry.theirs for entry in table}) == len(table)
    taps = {key for key in model.state_dict() if key.startswith("taps.")}
    assert {entry.ours for entry in table} | taps == set(model.state_dict())
    state = {
        entry.theirs: torch.zeros(entry.their_shape) if "num_batches" not in entry.theirs else torch.tensor(1)
        for entry in table
    }
    done = load(model, state, target, of=spec, fresh={"tap"})  # type: ignore[arg-type]
    assert set(done.loaded) == {entry.ours for entry in table} and set(done.kept) == taps
    if not taps:
        assert {key: value.shape for key, value in export(model, target).items()} == {  # type: ignore[arg-type]
            key: value.shape for key, value in state.items()
        }


@settings(max_examples=25)
@given(specs(), specs())
def test_facts_tell_designs_apart_and_not_themselves(one: Spec, two: Spec) -> None:
    assert differences(of_spec(one), of_spec(one)) == []
    forward, back = differences(of_spec(one), of_spec(two)), differences(of_spec(two), of_spec(one))
    assert {d.field for d in forward} == {d.field for d in back}
    assert {(d.field, d.here, d.there) for d in forward} == {(d.field, d.there, d.here) for d in back}
