"""Lesions against networks that are altered by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from _tiny import GATED, V1, V2, blocks, network

from otoyol.data import load
from otoyol.probe import lesion_study
from otoyol.probe.run import _some
from otoyol.spec import Input, parse
from otoyol.train import accuracy


class Through(torch.nn.Module):
    def forward(self, x, preacted=None):
        return x


def silenced(model, index):
    """The same network with block ``index`` replaced by the identity, or with F = 0 where its shape changes."""
    twin = copy.deepcopy(model).eval()
    stage, block = [(s, b) for s in range(len(twin.stages)) for b in range(len(twin.stages[s]))][index]
    if block:
        twin.stages[stage][block] = Through()
    else:
        last = list(twin.stages[stage][block].branch)[-1]
        torch.nn.init.zeros_(last.weight)
        if last.bias is not None:
            torch.nn.init.zeros_(last.bias)
    return twin


@pytest.mark.parametrize("design", [V1, V2])
def test_accuracies_are_those_of_altered_networks(design):
    model = network(design, dtype=torch.float32)
    digits = load("digits", parse(design).input, "test")
    pairs = [digits[i] for i in range(120)]
    batches = [
        (torch.stack([x for x, _ in part]), torch.tensor([y for _, y in part])) for part in (pairs[:64], pairs[64:])
    ]
    with torch.no_grad():
        for images, _ in batches:  # running statistics worth the name
            model(images)
    before = copy.deepcopy(model.state_dict())
    study = lesion_study(model, batches)
    assert study.images == 120
    labels = [label for _, label in pairs]
    assert study.constant == max(map(labels.count, labels)) / 120
    assert study.intact == pytest.approx(accuracy(model, pairs, batch=60))
    assert [lesion.name for lesion in study.lesions] == [name for name, _ in blocks(model)]
    for index, lesion in enumerate(study.lesions):
        assert lesion.accuracy == pytest.approx(accuracy(silenced(model, index), pairs, batch=60))
    assert len({lesion.accuracy for lesion in study.lesions}) > 1
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_is_kept_is_said():
    images, labels = torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)
    assert [x.kept for x in lesion_study(network(V2, dtype=torch.float32), [(images, labels)]).lesions] == [
        "identity", "identity", "shortcut", "identity",
    ]  # fmt: skip
    gated = lesion_study(network(GATED, dtype=torch.float32), [(images, labels)])
    assert {lesion.kept for lesion in gated.lesions} == {"shortcut"}
    plain = lesion_study(network(f"{V2},shortcut=none", dtype=torch.float32), [(images, labels)])
    assert plain.lesions[2].accuracy is None  # no shortcut, another shape: nothing can pass
    assert lesion_study(network(V2, dtype=torch.float32), [(images, labels)], remove=False).lesions == ()


@pytest.mark.parametrize(("count", "batch"), [(360, 32), (100, 32), (40, 32), (20, 32), (64, 32), (999, 7)])
def test_test_images_are_taken_once_each(count, batch):
    images = load("digits", Input(channels=1, height=8, width=8), "test")
    found = _some(images, count, batch, seed=3)
    every = torch.cat([x.flatten(1) for x, _ in found])
    assert len(every) == min(count, 360) and [len(labels) for _, labels in found[:-1]] == [batch] * (len(found) - 1)
    whole = torch.stack([images[i][0].flatten() for i in range(360)])
    taken = [int((whole == x).all(1).nonzero()[0, 0]) for x in every]
    assert len(set(taken)) == len(taken)
