"""Search: the front of a small space is brute force's; budgets hold; a stopped search goes on to the same end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from otoyol.cost import count
from otoyol.errors import OtoyolError, SpecError
from otoyol.ops import lower
from otoyol.search import parse_budget, parse_objective, search, space_from
from otoyol.spec import edit, parse, to_text

SMALL = {
    "base": "cifar_resnet20",
    "choices": {"block": ["basic", "bottleneck-v2"]},
    "depths": {"low": 1, "high": 3},
    "widths": {"low": 8, "high": 24, "multiple": 8},
}
LARGE = {
    "base": "resnet50",
    "choices": {"block": ["bottleneck", "bottleneck-v2"], "attention": ["none", "se"]},
    "depths": {"low": 1, "high": 8},
    "widths": {"low": 32, "high": 512, "multiple": 8, "scale": "log"},
}


def test_the_front_of_a_small_space_is_brute_forces():
    """Every design counted alone by count() and lower(), dominance by definition."""
    designs = []
    for block in ("basic", "bottleneck-v2"):
        base = edit(parse("cifar_resnet20"), {"block": block})
        for numbers in itertools.product((1, 2, 3), (1, 2, 3), (1, 2, 3), (8, 16, 24), (8, 16, 24), (8, 16, 24)):
            if block == "basic" and not numbers[3] <= numbers[4] <= numbers[5]:
                continue  # option A cannot narrow
            spec_edits = {"depths": "-".join(map(str, numbers[:3])), "widths": "-".join(map(str, numbers[3:]))}
            try:
                spec = edit(base, spec_edits)
            except SpecError:
                continue
            cost = count(spec)
            field = lower(spec).taps[-1].receptive_field
            if cost.macs <= 12_000_000 and cost.params <= 60_000:
                designs.append((cost.params, cost.macs, -field))
    values = np.array(designs, dtype=float)
    front = {tuple(row) for row in values if not any((o <= row).all() and (o < row).any() for o in values)}
    found = search(
        space_from(SMALL), [parse_budget("macs<=12M"), parse_budget("params<=60k")],
        [parse_objective("params", maximize=False), parse_objective("macs", maximize=False),
         parse_objective("receptive_field", maximize=True)],
        count=None,
    )  # fmt: skip
    ours = {(d.values["params"], d.values["macs"], -d.values["receptive_field"]) for d in found.designs}
    assert ours == front
    assert found.met["all"] == len(designs)
    assert found.finished


def test_designs_cost_what_they_say():
    found = search(
        space_from(LARGE), [parse_budget("macs<=4.1e9"), parse_budget("train_bytes<=80Mi")],
        [parse_objective("depth", maximize=True), parse_objective("params", maximize=False)], count=30_000,
    )  # fmt: skip
    assert found.designs
    for design in found.designs:
        cost = count(parse(design.spec))
        assert cost.macs == design.values["macs"] <= 4.1e9
        assert cost.train_bytes == design.values["train_bytes"] <= 80 * 2**20
        assert cost.params == design.values["params"]
        # He et al. 2015 count the stem, two or three convolutions a block, and fc.
        stages = parse(design.spec).stages
        assert design.values["depth"] == 2 + 3 * sum(stage.depth for stage in stages)


def test_a_stopped_search_goes_on_to_the_same_end(tmp_path):
    space = space_from(LARGE)
    objectives = [parse_objective("params", maximize=True), parse_objective("activations", maximize=False)]
    arguments = ([parse_budget("macs<=2G")], objectives)
    whole = search(space, *arguments, count=60_000, seed=5)

    def stop(progress):
        if progress.seen > 30_000:
            raise KeyboardInterrupt

    state = tmp_path / "state.json"
    half = search(space, *arguments, count=60_000, seed=5, state=state, progress=stop)
    assert not half.finished
    assert half.seen < 60_000
    rest = search(space, *arguments, count=60_000, seed=5, state=state)
    assert rest.finished
    assert rest == whole
    with pytest.raises(SpecError, match="state"):
        search(space, *arguments, count=60_000, seed=6, state=state)
    state.write_text(state.read_text()[:100])
    with pytest.raises(SpecError, match="damaged"):
        search(space, *arguments, count=60_000, seed=5, state=state)
    with pytest.raises(OtoyolError, match="cannot write"):
        search(space, *arguments, count=10, state=tmp_path / "no" / "where.json")


def test_the_order_of_choices_does_not_matter_to_the_front():
    """Every design counted alone; many of equal MACs and layers, since post- and pre-activation cost the same."""
    blocks = ["bottleneck", "bottleneck-v2"]
    small = {**SMALL, "widths": {"low": 8, "high": 16, "multiple": 8}}
    designs = {}
    for block in blocks:
        base = edit(parse("cifar_resnet20"), {"block": block, "shortcut": "B"})
        for numbers in itertools.product((1, 2, 3), (1, 2, 3), (1, 2, 3), (8, 16), (8, 16), (8, 16)):
            dashed = ["-".join(map(str, part)) for part in (numbers[:3], numbers[3:])]
            spec = edit(base, {"depths": dashed[0], "widths": dashed[1]})
            # stem and fc, three convolutions a block
            designs[to_text(spec)] = (count(spec).macs, -(2 + 3 * sum(numbers[:3])))
    values = np.array(list(designs.values()))
    front = {
        text for text, row in designs.items()
        if not ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
    }  # fmt: skip
    assert len({designs[text] for text in front}) < len(front)  # there are ties
    objectives = [parse_objective("macs", maximize=False), parse_objective("depth", maximize=True)]
    for order in (blocks, blocks[::-1]):
        space = space_from({**small, "base": "cifar_resnet20@shortcut=B", "choices": {"block": order}})
        found = search(space, [], objectives, count=None)
        assert {design.spec for design in found.designs} == front
        assert [design.spec for design in found.designs] == sorted(front, key=lambda text: (*designs[text], text))
        assert not found.thinned


def test_the_same_budget_twice_is_one():
    space, objectives = space_from(SMALL), [parse_objective("params", maximize=True)]
    once = search(space, [parse_budget("macs<=12M")], objectives, count=2000)
    twice = search(space, [parse_budget("macs<=12M")] * 2, objectives * 2, count=2000)
    assert twice == once
    assert once.met["macs<=12M"] == once.met["all"] <= once.seen == 2000


@pytest.mark.parametrize("changed", [{"batch": 64}, {"dtype": "float16"}, {"capacity": 10}])
def test_a_state_of_other_figures_is_refused(tmp_path, changed):
    arguments = (space_from(SMALL), [], [parse_objective("train_bytes", maximize=False)])
    state = tmp_path / "state.json"
    search(*arguments, count=500, state=state)
    assert search(*arguments, count=500, state=state).finished
    with pytest.raises(SpecError, match=r"state: .*batch, number type"):
        search(*arguments, count=500, state=state, **changed)


def test_a_fresh_search_reads_no_state_and_leaves_none(tmp_path):
    arguments = (space_from(SMALL), [], [parse_objective("train_bytes", maximize=False)])
    state = tmp_path / "state.json"
    state.write_text("of something else")
    found = search(*arguments, count=500, state=state, fresh=True)
    assert found == search(*arguments, count=500)
    assert state.read_text() == "of something else"


def test_figures_are_for_the_batch():
    found = search(
        space_from(SMALL), [parse_budget("training_bytes<=20Mi")], [parse_objective("training_bytes", maximize=True)],
        count=500, batch=16, dtype="float16",
    )  # fmt: skip
    assert found.designs
    for design in found.designs:
        counted = count(parse(design.spec), batch=16, dtype="float16").train_bytes
        assert counted == design.values["train_bytes"] <= 20 * 2**20


def test_scorers_are_arguments():
    def latency(spec, depths, widths):
        assert spec.family == "resnet50"
        return depths.sum(axis=1) * 0.5

    found = search(
        space_from(LARGE), [parse_budget("latency_ms<=6@ort,b1,t2")], [parse_objective("params", maximize=True)],
        count=5_000, scorers={"latency_ms": latency},
    )  # fmt: skip
    assert sum(stage.depth for stage in parse(found.designs[0].spec).stages) <= 12
    with pytest.raises(SpecError, match="scorer"):
        search(space_from(LARGE), [parse_budget("latency_ms<=6")], [parse_objective("params", maximize=True)])


@pytest.mark.parametrize(
    ("words", "quantity", "limit"),
    [
        ("macs<=4.1e9", "macs", 4_100_000_000), ("params <= 25.5M", "params", 25_500_000),
     ("train_bytes<=8Gi", "train_bytes", 8 * 2**30), ("training_bytes<=8Gi", "train_bytes", 8 * 2**30),
     ("macs>=300k", "macs", 300_000)],
)  # fmt: skip
def test_budgets(words, quantity, limit):
    budget = parse_budget(words)
    assert (budget.quantity, budget.limit) == (quantity, limit)


@pytest.mark.parametrize("words", ["macs<4", "flops<=4", "macs<=", "macs<=-1", "macs<=1e999", "<=4", "macs<=nan", ""])
def test_bad_budgets(words):
    with pytest.raises(SpecError) as error:
        parse_budget(words)
    assert error.value.field == "budget"


def test_contradictions():
    objective = [parse_objective("params", maximize=True)]
    with pytest.raises(SpecError, match="some design"):
        search(space_from(LARGE), [parse_budget("macs<=1G"), parse_budget("macs>=2G")], objective)
    with pytest.raises(SpecError, match="objective"):
        search(space_from(LARGE), [], [])
    nothing = search(space_from(LARGE), [parse_budget("macs<=1")], objective, count=1000)
    assert nothing.designs == ()
    assert nothing.met == {"macs<=1": 0, "all": 0}
