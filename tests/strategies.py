"""Random valid specs over all fields, small enough to build and run: ``from strategies import specs``."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from otoyol.errors import SpecError
from otoyol.spec import BLOCKS, Spec

ACTS = ("relu", "relu6", "leaky_relu", "silu", "gelu", "hardswish")
NORMS = ("batch", "group", "frozen", "sync")
ATTENTIONS = ("se", "eca", "cbam")
POINTWISE = ("", "norm", "act", "norm.act", "act.norm", "norm.act.norm")
EXPANSIONS = (1, 2, 4, "1/2", "3/2", "1/4", 3)
RATES = (0.1, 0.25, 0.5)


@st.composite
def specs(
    draw: st.DrawFn, *, max_width: int = 32, max_depth: int = 3, max_stages: int = 3, max_size: int = 40,
    norms: tuple[str, ...] = NORMS, attentions: tuple[str, ...] = ATTENTIONS,
) -> Spec:  # fmt: skip
    """A valid spec: every field may differ from its default, and most examples leave most fields alone."""
    stages = draw(st.lists(_stages(max_width, max_depth, attentions), min_size=1, max_size=max_stages))
    dilated = False
    for stage in stages:  # a stage either strides or dilates, and its first block inherits the dilation before it
        if dilated:
            stage["stride"] = 1
        elif stage["stride"] > 1:
            stage["dilation"] = 1
        dilated = stage["dilation"] > 1
    fields: dict[str, Any] = {
        "input": {
            "channels": draw(st.integers(1, 4)),
            "height": draw(st.integers(1, max_size)),
            "width": draw(st.integers(1, max_size)),
        },
        "stem": draw(_stems(max_width)),
        "stages": stages,
        "block": draw(_blocks()),
        "norm": {"kind": draw(_seldom(norms[0], norms)), "groups": draw(st.sampled_from((1, 2, 4)))},
        "act": draw(_seldom("relu", ACTS)),
        "zero_init": draw(st.booleans()),
        "drop_path": draw(_seldom(0.0, RATES)),
        "dilation_first": draw(_seldom("previous", ("same",))),
        "head": draw(_heads()),
        "taps": draw(st.sampled_from(("preact", "raw", "postact"))),
        **draw(_choices(attentions)),
    }
    return _valid(fields)


# What to leave out where a choice does not go together with the others, by the field that the error names.
LEFT_OUT = {
    "groups": ("groups", "group_width"),
    "group_width": ("groups", "group_width"),
    "expansion": ("expansion",),
    "shortcut": ("shortcut",),
    "place": ("attention",),
}


def _valid(fields: dict[str, Any]) -> Spec:
    """The spec, without those choices that do not go together with the others."""
    while True:
        try:
            return Spec(**fields)
        except SpecError as error:
            if error.field == "norm.groups":
                fields["norm"] = "batch"
                continue
            names = LEFT_OUT[error.field.rpartition(".")[2]]
            parts = [part for part in (fields, *fields["stages"]) if any(name in part for name in names)]
            if not parts:
                raise
            for part in parts:
                for name in names:
                    part.pop(name, None)


def _seldom(usual: Any, others: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Mostly ``usual``."""
    return st.one_of(st.just(usual), st.just(usual), st.sampled_from(others))


@st.composite
def _choices(draw: st.DrawFn, attentions: tuple[str, ...], every: bool = True) -> dict[str, Any]:
    """The fields that a spec and a stage share."""
    drawn = {
        "expansion": draw(st.none() | st.sampled_from(EXPANSIONS)),
        "groups": draw(_seldom(None, (2, 4))),
        "group_width": draw(_seldom(None, (1, 2, 4, 8))),
        "stride_at": draw(st.sampled_from(("spatial", "first"))),
        "shortcut": draw(_shortcuts()),
        "attention": draw(st.just("none") | _attentions(attentions)),
    }
    if drawn["groups"]:
        del drawn["group_width"]
    chosen = drawn if every else {name: drawn[name] for name in drawn if draw(st.integers(0, 3)) == 0}
    return {name: value for name, value in chosen.items() if value is not None}


@st.composite
def _stages(draw: st.DrawFn, max_width: int, max_depth: int, attentions: tuple[str, ...]) -> dict[str, Any]:
    stage: dict[str, Any] = {
        "depth": draw(st.integers(1, max_depth)),
        "width": draw(_widths(max_width)),
        "stride": draw(st.sampled_from((1, 2, 2, 1, 3))),
        "dilation": draw(st.sampled_from((1, 1, 1, 2, 3))),
    }
    if draw(st.integers(0, 2)) == 0:
        stage |= draw(_choices(attentions, every=False))
        if draw(st.booleans()):
            stage["block"] = draw(_blocks())
        if draw(st.booleans()):
            stage["act"] = draw(st.sampled_from(ACTS))
    return stage


def _widths(max_width: int) -> st.SearchStrategy[int]:
    """Multiples of eight, so that most choices of groups and expansion go with them."""
    return st.integers(1, max(1, max_width // 8)).map(lambda eighths: 8 * eighths)


@st.composite
def _stems(draw: st.DrawFn, max_width: int) -> dict[str, Any]:
    n = draw(st.integers(1, 3))
    return {
        "kernels": draw(st.lists(st.sampled_from((1, 3, 5, 7)), min_size=n, max_size=n)),
        "widths": draw(st.lists(_widths(max_width), min_size=n, max_size=n)),
        "strides": draw(st.lists(st.sampled_from((1, 2)), min_size=n, max_size=n)),
        "activated": draw(st.booleans()),
        "pool": draw(st.sampled_from(("none", "max"))),
    }


def _blocks() -> st.SearchStrategy[str]:
    """The rows of BLOCKS, and slots written out."""
    return st.sampled_from(tuple(BLOCKS)) | _slots()


@st.composite
def _slots(draw: st.DrawFn) -> str:
    between = st.sampled_from(("", "", *POINTWISE))
    tokens = [draw(between)]
    for _ in range(draw(st.integers(0, 2))):
        tokens += [draw(st.sampled_from(("conv1", "conv3", "conv5", "dw3", "dw5"))), draw(between)]
    tokens += [draw(st.sampled_from(("conv1", "conv3"))), draw(between)]
    branch = ".".join(token for token in tokens if token)
    inner = draw(st.sampled_from(("", "/input")))
    expansion = draw(st.sampled_from(("", "/x2")))
    return f"{draw(st.sampled_from(POINTWISE))}/{branch}/{draw(st.sampled_from(POINTWISE))}{inner}{expansion}"


@st.composite
def _shortcuts(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "kind": draw(st.sampled_from(("B", "B", "A", "C", "D", "none"))),
        "reads": draw(st.sampled_from(("preact", "raw"))),
        "norm": draw(st.sampled_from(("auto", "auto", "yes", "no"))),
        "gate": draw(_seldom("none", ("scale", "exclusive", "shortcut-only", "dropout"))),
        "dropout": draw(st.sampled_from(RATES)),
    }


@st.composite
def _attentions(draw: st.DrawFn, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {
        "kind": draw(st.sampled_from(kinds)),
        "place": draw(st.sampled_from(("start", "spatial", "end", 0, 1, 2, 3))),
        "reduction": draw(st.sampled_from((1, 2, 4, 16))),
        "divisor": draw(st.sampled_from((None, 1, 4, 8))),
    }


@st.composite
def _heads(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 4)) == 0:
        return {"classes": 0, "pool": draw(st.sampled_from(("avg", "none")))}
    return {"classes": draw(st.integers(0, 12)), "dropout": draw(_seldom(0.0, RATES))}
