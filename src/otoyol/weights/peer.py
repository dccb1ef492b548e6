"""The facts of a living torchvision or timm module, read from its convolutions, norms, pools and activations."""

from __future__ import annotations

from torch import nn

from otoyol.errors import WeightsError
from otoyol.spec import Spec
from otoyol.spec.blocks import kernel_of
from otoyol.weights.meaning import CONV, D_POOL, FIELDS, ORDINARY, Facts, Value, stride_facts, usual_order
from otoyol.weights.names import Source, module_names, weighted

_ACTS = {
    "ReLU": "relu", "ReLU6": "relu6", "LeakyReLU": "leaky_relu", "SiLU": "silu", "GELU": "gelu",
    "Hardswish": "hardswish",
}  # fmt: skip
_ATTENTION = {"SEModule": "se", "EcaModule": "eca", "CbamModule": "cbam"}
# Where each known block class stands, and whether it is pre-activated; its forward method says the rest.
_BLOCKS = {
    "torchvision.models.resnet": {"BasicBlock": False, "Bottleneck": False},
    "timm.models.resnet": {"BasicBlock": False, "Bottleneck": False},
    "timm.models.resnetv2": {"PreActBasic": True, "PreActBottleneck": True},
}


def of_module(module: nn.Module, spec: Spec, source: Source, attention: bool = True) -> Facts:
    """Facts of ``module`` at the places of ``spec``, found through the rename table of ``source``.

    Places that ``module`` lacks are left out: the keys tell them. Raises WeightsError where a block is of a class
    whose order of operators is not known.
    """
    facts: Facts = {field: {} for field in FIELDS}
    modules = dict(module.named_modules())
    names = module_names(spec, source, attention)
    for op in weighted(spec):
        there = modules.get(names.get(op.name, ""))
        if there is None or op.slot == "attention":
            continue
        if op.kind == "conv":
            _conv(facts, op.name, there, stem=op.slot == "stem")
        elif op.kind == "norm":
            _norm(facts, op.name, there)
            if isinstance(inner := getattr(there, "act", None), nn.Module):  # timm's norm with its activation
                facts["act"][op.name.replace("norm", "act")] = _act(inner)
    _stem(facts, modules, len(spec.stem.kernels))
    for stage, plan in enumerate(spec.plan):
        convs = sum(bool(kernel_of(token)) for token in plan.form.branch)
        for index in range(plan.depth):
            where = f"stages.{stage}.{index}"
            block = modules.get(f"layer{stage + 1}.{index}") or modules.get(f"stages.{stage}.blocks.{index}")
            if block is not None:
                _block(facts, where, block, convs, attention)
    return facts


def _conv(facts: Facts, where: str, conv: nn.Module, stem: bool) -> None:
    facts["conv"][where] = CONV if type(conv) is nn.Conv2d else type(conv).__name__
    if isinstance(conv, nn.Conv2d):
        facts["dilation"][where], facts["groups"][where] = conv.dilation[0], conv.groups
        facts["padding"][where] = conv.padding if isinstance(conv.padding, str) else conv.padding[0]
        if stem:
            facts["stride"][where] = conv.stride[0]


def _norm(facts: Facts, where: str, norm: nn.Module) -> None:
    kind: Value = type(norm).__name__
    if isinstance(norm, nn.modules.batchnorm._BatchNorm):
        kind = "batch"
        facts["momentum"][where] = norm.momentum if norm.momentum is not None else "cumulative"
    elif isinstance(norm, nn.GroupNorm):
        kind, facts["norm_groups"][where] = "group", norm.num_groups
    elif type(norm).__name__.startswith("FrozenBatchNorm"):
        kind = "frozen"
    facts["norm"][where] = kind
    if isinstance(eps := getattr(norm, "eps", None), float):
        facts["eps"][where] = eps


def _act(act: nn.Module) -> str:
    return _ACTS.get(type(act).__name__, type(act).__name__)


def _stem(facts: Facts, modules: dict[str, nn.Module], convs: int) -> None:
    pool = modules.get("maxpool") or modules.get("stem.pool")
    if isinstance(pool, nn.MaxPool2d):
        padded = "stem.pad" in modules
        sizes = [size if isinstance(size, int) else size[0] for size in (pool.kernel_size, pool.stride, pool.padding)]
        text = f"{sizes[0]}x{sizes[0]} max, stride {sizes[1]}, padding {sizes[2]}"
        facts["stem_pool"]["stem"] = f"zeros around, then {text}" if padded else text
    else:
        facts["stem_pool"]["stem"] = ORDINARY if pool is None else type(pool).__name__
    last = modules.get("act1") or modules.get("relu")
    if last is not None:
        facts["act"][f"stem.act{convs}"] = _act(last)
    for i in range(1, convs):
        inner = modules.get(f"conv1.{3 * i - 1}")
        if inner is not None:
            facts["act"][f"stem.act{i}"] = _act(inner)


def _block(facts: Facts, where: str, block: nn.Module, convs: int, attention: bool) -> None:
    known = _BLOCKS.get(type(block).__module__, {})
    if type(block).__name__ not in known:
        name = f"{type(block).__module__}.{type(block).__name__}"
        raise WeightsError(f"of: {where} is a {name}, whose order of operators is not known; name a design instead")
    preact = known[type(block).__name__]
    gate = getattr(block, "se", None)
    gates = [] if gate is None or not attention else [_ATTENTION.get(type(gate).__name__, type(gate).__name__)]
    facts["order"][where] = usual_order(convs, preact, gates)
    facts["gate"][where] = ORDINARY
    strides = {}
    for name, child in block.named_children():
        if isinstance(child, nn.Conv2d):
            strides[name] = child.stride[0]
    facts["stride"][where], facts["stride_at"][where] = stride_facts(strides)
    filters = [getattr(block, name, None) for name in ("aa", "drop_block")]
    odd = [type(m).__name__ for m in filters if m is not None and not isinstance(m, nn.Identity)]
    facts["anti_alias"][where] = odd[0] if odd else ORDINARY
    if not preact:
        for i in range(1, convs + 1):
            act = getattr(block, f"act{i}", None) or getattr(block, "relu", None)
            path = f"{where}.branch.act{i}" if i < convs else f"{where}.post.act1"
            if act is not None:
                facts["act"][path] = _act(act)
    downsample = getattr(block, "downsample", None)
    facts["shortcut"][where] = "identity" if downsample is None else _projection(downsample)
    if preact and downsample is not None:
        facts["reads"][where] = "preact"


def _projection(downsample: nn.Module) -> str:
    pools = [m for m in downsample.children() if isinstance(m, nn.AvgPool2d)]
    convs = [m for m in downsample.children() if isinstance(m, nn.Conv2d)]
    if len(convs) != 1 or convs[0].kernel_size != (1, 1):
        return f"{type(downsample).__name__} of {', '.join(type(m).__name__ for m in downsample.children())}"
    if not pools:
        return "1x1 projection"
    pool = pools[0]
    kernel, stride = (v if isinstance(v, int) else v[0] for v in (pool.kernel_size, pool.stride))
    edges = "same" if type(pool).__name__ == "AvgPool2dSame" else "ceil" if pool.ceil_mode else "floor"
    if kernel == 2 and not pool.count_include_pad:
        return D_POOL.format(stride, edges)
    return f"{kernel}x{kernel} average pool, stride {stride}, {edges} edges, padding counted, then 1x1"
