"""Nothing but the addition (and post) stands between x and y on the identity path, whatever the attention."""

from __future__ import annotations

import operator

import pytest
import torch
from _designs import randomise
from torch import fx, nn

from otoyol import nn as onn
from otoyol.spec import BLOCKS

ATTENTIONS = ["none", "se", "eca", "cbam"]
PLACES = ["start", "spatial", "end"]


class Halve(nn.Module):
    def forward(self, x):
        return x * 0.5


def identity_block(block, attention, place):
    width = 16 // BLOCKS[block].expansion if BLOCKS[block].inner == "width" else 16
    choices = {"place": place, "kind": attention, "reduction": 4}
    return onn.block(block, c_in=16, width=width, attention=choices)


def null_last(module):
    """Zero the last tensors of F that make it nothing: the last norm's, or the last convolution's."""
    layers = [layer for layer in module.branch if hasattr(layer, "weight")]
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_with_f_nulled_a_block_is_the_identity_or_its_post(block, attention, place):
    module = randomise(identity_block(block, attention, place)).eval()
    null_last(module)
    x = torch.randn(2, 16, 7, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = module(x)
        expected = x if module.post is None else module.post(x.clone())
    assert torch.equal(y, expected)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_the_graph_adds_x_itself(block, attention, place):
    graph = fx.symbolic_trace(identity_block(block, attention, place)).graph
    x = next(node for node in graph.nodes if node.op == "placeholder")
    adds = [n for n in graph.nodes if n.target in (operator.add, operator.iadd) and x in n.all_input_nodes]
    assert len(adds) == 1
    assert adds[0].args[1] is x
    behind = adds[0]
    while behind.op != "output":  # from the addition to the output only the post slot
        (behind,) = behind.users
        assert behind.op == "output" or behind.target.startswith("post.")


@pytest.mark.parametrize("text", ["resnetv2_18@head=4", "resnet18@head=4,attention=se", "wrn_28_10@widths=16-16-16"])
def test_every_identity_block_of_a_network_adds_its_input(text):
    model = onn.build(text)
    for block in (block for stage in model.stages for block in stage):
        if block.shortcut is None:
            null_last(block.eval())
            x = torch.randn(1, block.branch.conv1.in_channels, 5, 5)
            with torch.no_grad():
                assert torch.equal(block(x), x if block.post is None else x.relu())


def test_an_external_module_stands_on_f_only():
    module = onn.block("basic-v2", c_in=8, width=8, attention=lambda channels: Halve()).eval()
    x = torch.randn(1, 8, 6, 6)
    plain = onn.block("basic-v2", c_in=8, width=8).eval()
    plain.load_state_dict(module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(module(x) - x, (plain(x) - x) / 2)
