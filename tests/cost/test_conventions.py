"""Every preset against its tool: the tool runs here, or its published figures stand here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from hypothesis import given, settings
from ptflops import get_model_complexity_info
from strategies import specs
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import otoyol
from otoyol.cost.conventions import CAUSES, CONVENTIONS, QUANTITY_WORDS, WRITINGS, count_as, explain_table, figures_as
from otoyol.cost.conventions import part_text as text_of
from otoyol.errors import SpecError
from otoyol.spec import FAMILIES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # thop imports distutils' version module
    import thop
    import torchinfo

Reported = dict[str, tuple[int, int | None, int | None]]


def on_cpu(make: Callable[[], nn.Module]) -> nn.Module:
    """A module without the time that initialisation takes: no tool reads values."""
    with torch.device("meta"):
        module = make()
    module = module.to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.zero_()
    return module


def fvcore(module: nn.Module, x: torch.Tensor) -> tuple[int, int, int]:
    analyses = [analysis(module, x) for analysis in (FlopCountAnalysis, ActivationCountAnalysis)]
    for analysis in analyses:
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return int(analyses[0].total()), parameters, int(analyses[1].total())


def run_tools(module: nn.Module, shape: tuple[int, int, int]) -> Reported:
    """What every installed tool reports: operations, parameters, activations."""
    x = torch.zeros(1, *shape)
    with torch.no_grad():
        reported: Reported = {"fvcore": fvcore(module, x)}
        with FlopCounterMode(display=False) as counter:
            module(x)
        reported["flopcounter"] = (counter.get_total_flops(), None, None)
        for backend in ("pytorch", "aten"):
            operations, parameters = get_model_complexity_info(
                module, shape, print_per_layer_stat=False, as_strings=False, backend=backend
            )
            reported[f"ptflops-{backend}"] = (operations, parameters, None)
        summary = torchinfo.summary(module, input_data=x, verbose=0)
        reported["torchinfo"] = (summary.total_mult_adds, summary.total_params, None)
        reported["thop"] = (*map(int, thop.profile(module, (x,), verbose=False)), None)
    return reported


def preset(spec: otoyol.Spec, tools: Reported, written: str = "modules") -> Reported:
    figures = {name: figures_as(spec, name, written=written) for name in tools}
    return {name: (row.operations, row.params, row.activations) for name, row in figures.items()}


def at_size(text: str, size: int) -> otoyol.Spec:
    return otoyol.edit(otoyol.parse(text), {"input": f"3x{size}x{size}"})


def vision(name: str) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name)


def timm_model(name: str, **choices: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, **choices)


PEERS = {
    "resnet18": ("resnet18", vision("resnet18"), "modules"),
    "resnet50": ("resnet50", vision("resnet50"), "modules"),
    "resnext50": ("resnext50_32x4d", vision("resnext50_32x4d"), "modules"),
    "wide": ("wide_resnet50_2", vision("wide_resnet50_2"), "modules"),
    "d": ("resnet50d", timm_model("resnet50d"), "modules"),
    "d dilated": ("resnet50d@strides=1-2-1-1,dilations=1-1-2-4", timm_model("resnet50d", output_stride=8), "modules"),
    "se": ("seresnet50", timm_model("seresnet50"), "modules"),
    "eca": ("ecaresnet50d", timm_model("ecaresnet50d"), "modules"),
    "cbam": ("resnet50@attention=cbam", timm_model("resnet50", block_args={"attn_layer": "cbam"}), "timm"),
    "group norm": ("resnet50_gn", timm_model("resnet50_gn"), "timm"),
    "v2": ("resnetv2_50", timm_model("resnetv2_50"), "timm"),
    "v2 group norm": ("resnetv2_50d@norm=group", timm_model("resnetv2_50d_gn"), "timm"),
}


@pytest.mark.parametrize("case", PEERS)
def test_presets_reproduce_every_tool_on_the_peers_modules(case: str) -> None:
    name, make, written = PEERS[case]
    spec = at_size(name, 64)
    reported = run_tools(on_cpu(make), (3, 64, 64))
    assert preset(spec, reported, written) == reported
    if written == "modules":  # where timm's writing hides nothing, the two writings are one
        assert preset(spec, reported, "timm") == reported
    else:
        assert preset(spec, reported) != reported


def run_on_ours(spec: otoyol.Spec) -> Reported:
    """The tools on our module; where a tap has a norm of its own, on the module whose output is the taps."""
    taps = any(op.slot == "tap" for op in otoyol.lower(spec).ops)
    module = on_cpu(lambda: otoyol.nn.build(spec, features_only=taps))
    return run_tools(module, (spec.input.channels, spec.input.height, spec.input.width))


@pytest.mark.parametrize(
    "name",
    ["cifar_resnet20", "cifar_resnetv2_20", "cifar_resnet110_exclusive@depths=2-1-1"],
)
def test_presets_reproduce_every_tool_on_our_module(name: str) -> None:
    spec = otoyol.parse(name)
    reported = run_on_ours(spec)
    assert preset(spec, reported) == reported


@settings(max_examples=25)
@given(specs())
def test_presets_reproduce_every_tool_on_our_module_of_any_spec(spec: otoyol.Spec) -> None:
    reported = run_on_ours(spec)
    assert preset(spec, reported) == reported


def test_presets_reproduce_every_tool_at_full_size() -> None:
    reported = run_tools(on_cpu(vision("resnet50")), (3, 224, 224))
    assert preset(otoyol.parse("resnet50"), reported) == reported
    assert {name: row[0] for name, row in reported.items()} == {
        "fvcore": 4_111_512_576, "flopcounter": 8_178_368_512, "ptflops-pytorch": 4_132_436_968,
        "ptflops-aten": 4_089_185_256, "torchinfo": 4_089_238_376, "thop": 4_133_742_592,
    }  # fmt: skip


WEIGHTS = [
    weights
    for name in torchvision.models.list_models(torchvision.models, include=["*resne*t*"])
    for weights in torchvision.models.get_model_weights(name)
]


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_torchvision_reproduces_the_meta_of_every_resnet_weight(weights: Any) -> None:
    family = type(weights).__name__.removesuffix("_Weights").lower()
    size = weights.transforms().crop_size[0]
    figures = figures_as(at_size(family, size), "torchvision")
    assert round(figures.operations / 1e9, 3) == weights.meta["_ops"]
    assert figures.params == weights.meta["num_params"]


def test_all_resnet_weights_of_torchvision_are_there() -> None:
    assert len(WEIGHTS) >= 17


# pycls, dev/model_complexity.json of 2020-09-04 (flops, params, acts); V-56 has no shortcuts, which count nothing here.
PYCLS = {
    "resnet50": (4_089_185_256, 25_557_032, 11_315_688),
    "resnet101": (7_801_406_440, 44_549_160, 16_433_640),
    "resnet152": (11_513_627_624, 60_192_808, 22_755_816),
    "resnext50_32x4d": (4_230_480_872, 25_028_904, 14_602_216),
    "resnext101_32x4d": (7_969_997_800, 44_177_704, 21_426_152),
    "resnext101_32x4d@depths=3-8-36-3": (11_709_514_728, 59_951_400, 29_855_720),
    "cifar_resnet56b": (125_747_850, 855_770, 544_778),
    "cifar_resnet110b": (253_149_834, 1_730_714, 1_060_874),
    "cifar_resnet56": (125_485_706, 853_018, 532_490),
}


@pytest.mark.parametrize("name", PYCLS)
def test_pycls_reproduces_its_golden_figures(name: str) -> None:
    figures = figures_as(otoyol.parse(name), "pycls")
    assert (figures.operations, figures.params, figures.activations) == PYCLS[name]


def test_pycls_counts_a_bias_once_a_channel_and_a_squeeze_as_two_convolutions() -> None:
    # SE.complexity of pycls.models.blocks by hand: 64 channels squeezed to 8, both convolutions with a bias.
    design = "resnet18@depths=1,widths=64,strides=1"
    plain, gated = (figures_as(otoyol.parse(design + more), "pycls") for more in ("", ",attention=se"))
    assert gated.operations - plain.operations == (64 * 8 + 8) + (8 * 64 + 64)
    assert gated.activations is not None and plain.activations is not None
    assert gated.activations - plain.activations == 8 + 64


def test_a_bias_over_a_map_is_a_channels_worth_to_pycls_and_an_outputs_worth_to_ptflops() -> None:
    # Three blocks with a gate each (a 1×1 convolution with a bias), 16×32×32, 32×16×16 and 64×8×8, and fc's ten.
    spec = otoyol.parse("cifar_resnet110_exclusive@depths=1-1-1")
    plain = count_as(spec, "paper")
    assert count_as(spec, "pycls") - plain == 16 + 32 + 64 + 10
    assert count_as(spec, "ptflops-aten") - plain == 16 * 32 * 32 + 32 * 16 * 16 + 64 * 8 * 8 + 10


# timm, results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv (GMACs, MActs, million parameters at the size).
TIMM = {
    ("resnet18", 224): (1.82, 2.48, 11.69),
    ("resnet18", 288): (3.01, 4.11, 11.69),
    ("seresnet18", 224): (1.82, 2.49, 11.78),
    ("resnet26", 224): (2.36, 7.35, 16.0),
    ("resnet26d", 224): (2.6, 8.15, 16.01),
    ("resnet34", 224): (3.67, 3.74, 21.8),
    ("seresnet34", 224): (3.67, 3.74, 21.96),
    ("resnet34d", 224): (3.91, 4.54, 21.82),
    ("resnet50", 160): (2.1, 5.67, 25.56),
    ("resnet50", 224): (4.11, 11.11, 25.56),
    ("resnet50", 288): (6.8, 18.37, 25.56),
    ("resnet50c", 224): (4.35, 11.92, 25.58),
    ("resnet50d", 224): (4.35, 11.92, 25.58),
    ("resnet50t", 224): (4.32, 11.82, 25.57),
    ("resnet50_gn", 224): (4.14, 11.11, 25.56),
    ("resnetv2_50", 224): (4.11, 11.11, 25.55),
    ("resnetv2_50d", 224): (4.35, 11.92, 25.57),
    ("resnetv2_50t", 224): (4.32, 11.82, 25.57),
    ("resnetv2_101", 224): (7.83, 16.23, 44.54),
    ("resnetv2_152", 224): (11.55, 22.56, 60.19),
    ("seresnet50", 224): (4.11, 11.13, 28.09),
    ("seresnet50t", 224): (4.32, 11.83, 28.1),
    ("seresnext50_32x4d", 224): (4.26, 14.42, 27.56),
    ("ecaresnet26t", 256): (3.35, 10.53, 16.01),
    ("ecaresnet50d", 224): (4.35, 11.93, 25.58),
    ("ecaresnet101d", 224): (8.08, 17.07, 44.57),
    ("ecaresnetlight", 224): (4.11, 8.42, 30.16),
    ("resnext50_32x4d", 224): (4.26, 14.4, 25.03),
    ("resnext50d_32x4d", 224): (4.5, 15.2, 25.05),
    ("resnext101_32x4d", 224): (8.01, 21.23, 44.18),
    ("wide_resnet50_2", 224): (11.43, 14.4, 68.88),
    ("resnet101d", 224): (8.08, 17.04, 44.57),
    ("resnet152d", 224): (11.8, 23.36, 60.21),
}


@pytest.mark.parametrize(("name", "size"), TIMM)
def test_timm_reproduces_its_published_benchmark(name: str, size: int) -> None:
    figures = figures_as(at_size(name, size), "timm")
    assert figures.activations is not None and figures.params is not None
    found = (figures.operations / 1e9, figures.activations / 1e6, figures.params / 1e6)
    assert tuple(round(figure, 2) for figure in found) == TIMM[name, size]


# He et al. 2015 (1512.03385), Table 1 in 10^9; the ResNet-50 row is what its 3.858 is not rounded to.
PAPER = {"resnetv1_18": 1.8, "resnetv1_34@shortcut=A": 3.6, "resnetv1_101": 7.6, "resnetv1_152": 11.3}


@pytest.mark.parametrize("name", PAPER)
def test_paper_rounds_to_the_table_of_he_2015(name: str) -> None:
    assert round(count_as(otoyol.parse(name), "paper") / 1e9, 1) == PAPER[name]


def test_paper_says_what_is_off() -> None:
    assert count_as(otoyol.parse("resnetv1_50"), "paper") == 3_857_973_248  # printed 3.8
    assert count_as(otoyol.parse("resnetv1_34"), "paper") == 3_663_761_408  # printed 3.6
    assert round(count_as(otoyol.parse("resnetv1_50"), "paper") / 1e9, 2) == 3.86  # Hu et al. 2018, Table 2
    assert round(count_as(otoyol.parse("resnet50d"), "paper") / 1e9, 1) == 4.3  # He et al. 2019, Table 5


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110, 1202])
def test_paper_params_are_those_of_table_6(depth: int) -> None:
    printed = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}[depth]
    params = figures_as(otoyol.parse(f"cifar_resnet{depth}"), "paper").params
    assert params is not None
    assert round(params / 1e6, 1 if depth > 100 else 2) == printed


@pytest.mark.parametrize("name", FAMILIES)
def test_the_difference_table_adds_up(name: str) -> None:
    spec = otoyol.family(name)
    plain = count_as(spec, "flopcounter") // 2
    for row in explain_table(spec):
        assert row.operations == plain + row.difference == plain + sum(part.amount for part in row.parts)
        assert all(part.amount == part.times * part.elements > 0 for part in row.parts)


@pytest.mark.parametrize("name", ["resnet50", "resnetv2_50", "resnet50_gn"])
def test_the_difference_table_holds_the_tools_figures(name: str) -> None:
    spec = otoyol.parse(name)
    for row in explain_table(spec):
        assert row.operations == count_as(spec, row.convention.name, written=row.written.name)


def test_the_table_says_at_a_glance_why_4089_is_not_4134() -> None:
    rows = {row.convention.name: row for row in explain_table(otoyol.parse("resnet50"))}
    # By hand: 11,113,984 elements enter ResNet-50's norms, 2048 x 7 x 7 its last pool, and 2048 leave it.
    assert rows["paper"].operations == 4_089_184_256
    assert [(part.cause, part.amount) for part in rows["thop"].parts] == [
        ("norm", 4 * 11_113_984),
        ("pool", 2048 * 49 + 2048),
    ]
    assert text_of(rows["thop"].parts[0]) == "norms 44,455,936 (4 × 11,113,984 input elements)"
    assert text_of(rows["thop"].parts[0], "tr") == "normlar 44.455.936 (4 × 11.113.984 giriş elemanı)"
    assert [part.cause for part in rows["flopcounter"].parts] == ["doubling"]


def test_tools_that_miss_timms_norms_get_a_second_row() -> None:
    written = [(row.convention.name, row.written.name) for row in explain_table(otoyol.parse("resnetv2_50"))]
    assert [name for name, way in written if way == "timm"] == ["ptflops-pytorch", "torchinfo", "thop"]
    assert {row.written.name for row in explain_table(otoyol.parse("resnet50"))} == {"modules"}


def test_every_word_is_there_in_both_languages() -> None:
    words = [*CAUSES.values(), *QUANTITY_WORDS.values(), *(row.note for row in WRITINGS.values())]
    words += [note for row in CONVENTIONS.values() for note in (row.why, row.wrong)]
    assert all(set(word) == {"en", "tr"} and all(word.values()) for word in words)
    assert all(word["en"] != word["tr"] for word in words)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SpecError, match="convention: got flops; allowed: one of paper, torchvision, pycls"):
        count_as(otoyol.parse("resnet18"), "flops")
    with pytest.raises(SpecError, match="written: got keras; allowed: one of modules, timm"):
        count_as(otoyol.parse("resnet18"), "paper", written="keras")


# What the notes claim is wrong with a tool, seen on the smallest module that shows it.


def complexity(module: nn.Module) -> int:
    return int(get_model_complexity_info(module, (4, 6, 6), print_per_layer_stat=False, as_strings=False)[0])


class Sum(nn.Module):
    def __init__(self, add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.add = add

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.add(x, x)


def test_ptflops_counts_relu_twice_silu_once_hardswish_never_and_sums_by_spelling() -> None:
    elements = 4 * 6 * 6
    assert [complexity(act()) for act in (nn.ReLU, nn.GELU, nn.SiLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish)] == [
        2 * elements, 2 * elements, elements, elements, elements, 0,
    ]  # fmt: skip
    assert complexity(nn.MaxPool2d(2)) == complexity(nn.AvgPool2d(2)) == 2 * elements
    assert complexity(Sum(lambda x, y: x + y)) == 0
    assert complexity(Sum(lambda x, y: torch.add(x, y))) == elements


def test_fvcore_takes_a_training_batch_norm_for_five() -> None:
    x = torch.zeros(1, 4, 6, 6)
    assert [fvcore(norm, x)[0] for norm in (nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4).train())] == [288, 720]
