"""What goes wrong is named: block, step, file."""

from __future__ import annotations

import math

import pytest
import torch
from _tiny import V1, V2, batch, network
from PIL import Image

from otoyol.errors import OtoyolError, SpecError
from otoyol.probe import Problem, probe, snapshot, stretches


def test_a_broken_weight_is_named():
    model = network(V2)
    with torch.no_grad():
        model.stages[1][0].branch.conv1.weight[0, 0, 0, 0] = math.nan
    found = snapshot(model, *batch(), step=7)
    assert found.problem == Problem("weight", "stages.1.0", 7)
    assert found.blocks == () and found.loss is None
    assert stretches(model, *batch()) == ()


def test_an_activation_that_overflows_is_named():
    model, (images, labels) = network(V2, dtype=torch.float32), batch(dtype=torch.float32)
    with torch.no_grad():
        model.stages[0][1].branch.conv2.weight.fill_(3e38)
    assert snapshot(model, images, labels).problem == Problem("activation", "stages.0.1", 0)


def test_a_gradient_is_named_at_the_block_where_it_breaks():
    model, (images, labels) = network(V1), batch()
    model.stages[1][0].register_forward_hook(lambda module, x, y: Poison.apply(y))
    assert snapshot(model, images, labels).problem == Problem("gradient", "stages.1.0", 0)


class Poison(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.nan


def test_broken_images_and_losses_are_named():
    images, labels = batch()
    images[0, 0, 0, 0] = math.inf
    assert snapshot(network(V1), images, labels).problem.what == "input"
    model = network(V1)
    with torch.no_grad():
        model.head.fc.weight.fill_(1e308)
    assert snapshot(model, *batch()).problem == Problem("loss", "head", 0)


def test_dead_is_not_silent():
    """F = 0 with a gradient can recover; without one it cannot."""
    model = network(V2)
    torch.nn.init.zeros_(model.stages[0][1].branch.conv2.weight)  # F = 0, but the activations before it are alive
    norm = model.stages[1][1].branch.norm1
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.constant_(norm.bias, -1.0)  # the ReLU behind it never fires
    found = snapshot(model, *batch())
    told = {block.name: (block.silent, block.dead) for block in found.blocks}
    assert told == {
        "stages.0.0": (False, False), "stages.0.1": (True, False),
        "stages.1.0": (False, False), "stages.1.1": (True, True),
    }  # fmt: skip
    dead = {layer.name: (layer.dead, layer.channels) for layer in found.dead}
    assert dead["stages.1.1.branch.act1"] == (8, 8)
    assert sum(count for count, _ in dead.values()) == 8


def test_norm_figures_by_hand():
    model, (images, labels) = network(V2), batch()
    with torch.no_grad():
        model.stages[0][0].preact.norm1.weight.copy_(torch.tensor([0.5, 1.0, 1.5, 3.0]))
        model.stages[0][0].preact.norm1.running_var.fill_(2.5)
        x = model.stem(images).numpy()
    found = {layer.name: layer for layer in snapshot(model, images, labels).norms}["stages.0.0.preact.norm1"]
    assert (found.gain_mean, found.gain_min, found.gain_max, found.shift_mean) == (1.5, 0.5, 3.0, 0.0)
    assert (found.stored_mean, found.stored_var) == (0.0, 2.5)
    var = x.var(axis=(0, 2, 3))
    assert (found.batch_var, found.batch_var_min, found.batch_var_max) == pytest.approx(
        (var.mean(), var.min(), var.max())
    )


def test_divergence_ends_the_run_with_block_and_step():
    with pytest.raises(OtoyolError, match=r"NaN or infinity in stages\.\d\.\d .* after \d+ training steps"):
        probe(V1, steps=8, batch=8, lr=1e30, jacobian_steps=0)
    run = probe(V1, steps=8, batch=8, lr=1e30, jacobian_steps=0, on_error="skip")
    assert run.problem.where.startswith("stages.") and run.problem.step == len(run.losses) >= 1
    assert len(run.snapshots) == 1 and run.stretches == () and run.lesion is None


def folder_with(tmp_path, broken):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(8):
            Image.new("L", (8, 8), 30 * i).save(tmp_path / kind / f"{i}.png")
    for i in range(8):
        if i < broken:
            (tmp_path / "cat" / f"{i}.png").write_bytes(b"no image")
    return str(tmp_path)


def test_an_unreadable_image_stops_or_is_named(tmp_path):
    data = folder_with(tmp_path, broken=2)
    with pytest.raises(OtoyolError, match=r"cannot read .*cat/[01]\.png"):
        probe(V1, data, steps=2, batch=5, jacobian_steps=0, test_images=4)
    run = probe(V1, data, steps=12, batch=5, jacobian_steps=0, test_images=4, on_error="skip")
    assert run.steps == 12 and {path.rpartition("/")[2] for path in run.skipped} == {"0.png", "1.png"}


def test_nothing_but_unreadable_images_comes_to_an_end(tmp_path):
    data = folder_with(tmp_path, broken=8)
    for i in range(1, 8):
        (tmp_path / "dog" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(OtoyolError, match=r"readable|cannot read"):
        probe(V1, data, steps=1, batch=12, jacobian_steps=0, on_error="skip")


def test_what_cannot_be_probed_is_refused():
    with pytest.raises(SpecError, match="head"):
        probe(V1.replace("head=10", "head=0"), steps=0)
    with pytest.raises(SpecError, match="head"):
        probe(V1.replace("head=10", "head=3"), steps=0)
