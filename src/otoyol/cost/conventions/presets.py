"""The counting conventions, one row of data each.

A preset says which operators a tool counts, with what formula, and whether a bias counts. The formulas were read
in the tools' sources and are held to the tools' own answers by ``tests/cost/test_conventions.py``, with fvcore
0.1.5, ptflops 0.7.5, torchinfo 1.8.0, thop 0.1.1, torch 2.14, torchvision 0.29 and timm 1.0.31. All are for one image,
the forward pass and a network in evaluation mode.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from otoyol.cost.conventions.quantities import Words

Sight = Literal["operator", "class", "leaf"]
MULTIPLYING = ("conv", "conv1d", "linear")


class Term(NamedTuple):
    """``times`` × ``quantity`` for every operator of ``kinds`` (see ``quantities.QUANTITIES``).

    ``slots``, ``details`` and ``strides`` restrict it to operators in those places, to those norms or activations and
    to those strides; empty is any. ``sees`` says how the tool finds the operator: by the exact ``class`` of its
    module, as any ``leaf`` module (one without children), or as the ``operator`` that runs.
    """

    kinds: tuple[str, ...]
    times: int
    quantity: str
    slots: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    strides: tuple[int, ...] = ()
    sees: Sight = "operator"


class Convention(NamedTuple):
    """How a tool counts. ``calls_it`` is the tool's own word for the figure, ``unit`` what the figure is.

    ``params`` and ``activations`` are None where the tool reports none.
    """

    name: str
    tool: str
    calls_it: str
    unit: Literal["MACs", "FLOPs"]
    terms: tuple[Term, ...]
    params: tuple[Term, ...] | None
    activations: tuple[Term, ...] | None
    why: Words
    wrong: Words


PLAIN = (Term(MULTIPLYING, 1, "macs"),)
ALL_PARAMS = (Term((*MULTIPLYING, "norm"), 1, "params"),)
PRODUCTS_OUT = (Term(MULTIPLYING, 1, "outputs"),)

FVCORE = (
    *PLAIN,
    Term(("norm",), 2, "inputs", details=("batch", "sync")),
    Term(("norm",), 5, "inputs", details=("group",)),
    Term(("mean",), 1, "inputs", slots=("head",)),
)

# ptflops hooks modules and, besides, patches functions: what is in both lists counts twice.
PTFLOPS_PYTORCH = (
    *PLAIN,
    Term(MULTIPLYING, 1, "bias additions"),
    Term(("norm",), 2, "inputs", details=("batch", "group"), sees="class"),
    Term(("act",), 2, "outputs", details=("relu", "gelu")),
    Term(("act",), 1, "outputs", details=("relu6", "leaky_relu", "silu")),
    Term(("relu",), 2, "outputs"),
    Term(("maxpool", "avgpool"), 2, "inputs", strides=(2,)),
    Term(("avgpool",), 1, "padded inputs", strides=(1,)),
    Term(("mean",), 2, "inputs", slots=("head",)),
)

TORCHINFO = (
    *PLAIN,
    Term(MULTIPLYING, 1, "bias additions"),
    Term(("norm",), 1, "params", sees="leaf"),
)
# A module that is called past its parent is listed under the caller, and its parameters under both.
TORCHINFO_PARAMS = (*ALL_PARAMS, Term(("conv",), 1, "gate params"))

THOP = (
    *PLAIN,
    Term(("norm",), 4, "inputs", details=("batch", "sync"), sees="class"),
    Term(("avgpool",), 1, "outputs", strides=(2,)),
    Term(("mean",), 1, "inputs+outputs", slots=("head",)),
)
THOP_PARAMS = (
    Term(MULTIPLYING, 1, "params"),
    Term(("norm",), 1, "params", details=("batch", "sync"), sees="class"),
)

_ROWS = (
    Convention(
        "paper", "He et al. 2015, Table 1", "FLOPs (multiply-adds)", "MACs", PLAIN, ALL_PARAMS, None,
        why={
            "en": "The multiply-adds of convolutions and classifier, nothing else.",
            "tr": "Konvolüsyonların ve sınıflandırıcının çarpma-toplamaları, başka hiçbir şey değil.",
        },
        wrong={
            "en": "The table prints 3.8 for ResNet-50, which has 3.858 (stride on the first 1×1: resnetv1_50; today's "
            "resnet50 strides on the 3×3 and has 4.089), and for ResNet-34 the 3.6 of zero-padding shortcuts (3.644; "
            "3.664 with projections). Its other rows are these figures, rounded.",
            "tr": "Tablo, 3,858 olan ResNet-50 için 3.8 yazar (adım ilk 1×1'de: resnetv1_50; bugünün resnet50'si adımı "
            "3×3'te atar ve 4,089'dur), ResNet-34 için de sıfır dolgulu kısayolların 3.6'sını (3,644; izdüşümlerle "
            "3,664). Öbür satırlar bu rakamların yuvarlanmışıdır.",
        },
    ),
    Convention(
        "torchvision", "torchvision weights' meta (_ops, num_params)", "GFLOPs", "MACs", PLAIN, ALL_PARAMS, None,
        why={
            "en": "Convolutions and matrix products as they run, one operation a multiply-add, in units of 10^9 "
            "rounded to three decimals, at the size that the weights were tested with.",
            "tr": "Çalışan konvolüsyonlar ve matris çarpımları, çarpma-toplama başına bir işlem; 10^9 biriminde, üç "
            "haneye yuvarlanmış, ağırlıkların sınandığı boyutta.",
        },
        wrong={
            "en": "The documentation heads the column GFLOPS; it holds GMACs, half of the FLOPs.",
            "tr": "Belgelerde sütunun başlığı GFLOPS'tur; içindeki GMAC, yani FLOP'un yarısıdır.",
        },
    ),
    Convention(
        "pycls", "pycls complexity", "flops", "MACs",
        (*PLAIN, Term(MULTIPLYING, 1, "biases")), ALL_PARAMS, (Term((*MULTIPLYING, "maxpool"), 1, "outputs"),),
        why={
            "en": "Multiply-adds plus one operation for every element of a bias vector; activations are the outputs "
            "of convolutions, classifier and max-pool.",
            "tr": "Çarpma-toplamalar ile yanlılık vektörünün her elemanı için bir işlem; aktivasyonlar "
            "konvolüsyonların, sınıflandırıcının ve maksimum havuzlamanın çıkışlarıdır.",
        },
        wrong={
            "en": "A convolution's bias counts once for each channel, not for each output. Figures published before "
            "September 2020 leave the max-pool out of the activations (ResNet-50: 11,114,984, now 11,315,688).",
            "tr": "Konvolüsyonun yanlılığı her çıkış için değil, her kanal için bir kez sayılır. Eylül 2020'den önce "
            "yayımlanan aktivasyonlarda maksimum havuzlama yoktur (ResNet-50: 11.114.984, şimdi 11.315.688).",
        },
    ),
    Convention(
        "fvcore", "fvcore FlopCountAnalysis", "flops", "MACs", FVCORE, ALL_PARAMS, PRODUCTS_OUT,
        why={
            "en": "Multiply-adds, and on top two operations an element for batch norm, five for group norm, and one "
            "for each input of an adaptive average pool.",
            "tr": "Çarpma-toplamalara ek olarak toplu normalleştirmede eleman başına iki, grup normalleştirmede beş, "
            "uyarlanır ortalama havuzlamada giriş başına bir işlem.",
        },
        wrong={
            "en": "One sum of two units: a multiply-add is one, yet a norm's scale and shift are two. Activations, "
            "additions, max-pools, attention's means and frozen norms are free; a network left in training mode "
            "pays five for batch norm.",
            "tr": "Tek toplamda iki birim: çarpma-toplama bir, normun çarpımı ile toplaması ise iki sayılır. "
            "Aktivasyonlar, toplamalar, maksimum havuzlama, dikkatin ortalamaları ve dondurulmuş normlar bedavadır; "
            "eğitim kipinde bırakılan ağda toplu normalleştirme beştir.",
        },
    ),
    Convention(
        "timm", "timm benchmark (GMACs, MActs)", "GMACs", "MACs", FVCORE, ALL_PARAMS, PRODUCTS_OUT,
        why={
            "en": "fvcore's count rounded to two decimals, at the model's own test size.",
            "tr": "fvcore'un sayımı, iki haneye yuvarlanmış, modelin kendi sınama boyutunda.",
        },
        wrong={
            "en": "Called GMACs, yet norms and the last pool are in it. Where deepspeed is installed timm uses that "
            "instead and reports other figures and no activations.",
            "tr": "Adı GMAC'tir ama içinde normlar ve son havuzlama da vardır. deepspeed kuruluysa timm onu kullanır; "
            "başka rakamlar verir, aktivasyon vermez.",
        },
    ),
    Convention(
        "ptflops-pytorch", "ptflops, backend pytorch", "MACs", "MACs", PTFLOPS_PYTORCH, ALL_PARAMS, None,
        why={
            "en": "Hooks on module classes: multiply-adds with biases, two operations an element for norms, and "
            "activations and pools one by their module and one again by the patched function that it calls.",
            "tr": "Modül sınıflarına kancalar: yanlılıklarla birlikte çarpma-toplamalar, normlarda eleman başına iki "
            "işlem; aktivasyonlar ve havuzlamalar bir modüllerinden, bir de çağırdıkları yamalı işlevden sayılır.",
        },
        wrong={
            "en": "ReLU, GELU and pools count twice, SiLU, ReLU6 and LeakyReLU once, Hardswish, Sigmoid, sync and "
            "frozen norms never; residual additions and gates written as operators (x + y, x * y) are not seen, "
            "torch.add and torch.mul would be.",
            "tr": "ReLU, GELU ve havuzlamalar iki kez, SiLU, ReLU6 ve LeakyReLU bir kez, Hardswish, Sigmoid, eşli "
            "ve dondurulmuş normlar hiç sayılmaz; işleçle yazılan toplamalar ve kapılar (x + y, x * y) görülmez, "
            "torch.add ve torch.mul görülürdü.",
        },
    ),
    Convention(
        "ptflops-aten", "ptflops, backend aten", "MACs", "MACs",
        (*PLAIN, Term(MULTIPLYING, 1, "bias additions")), ALL_PARAMS, None,
        why={
            "en": "Multiply-adds of the convolutions and matrix products that run, plus one for each output with a "
            "bias.",
            "tr": "Çalışan konvolüsyonların ve matris çarpımlarının çarpma-toplamaları ile yanlılığı olan her "
            "çıkış için bir işlem.",
        },
        wrong={
            "en": "A bias is counted as a MAC of its own, though it is the accumulator's start. Otherwise plain.",
            "tr": "Yanlılık, toplayıcının başlangıç değeri olduğu halde ayrı bir MAC sayılır. Bunun dışında yalındır.",
        },
    ),
    Convention(
        "torchinfo", "torchinfo", "mult-adds", "MACs", TORCHINFO, TORCHINFO_PARAMS, None,
        why={
            "en": "Parameters times output positions for every module named Conv, biases included; for every other "
            "module just its parameters.",
            "tr": "Adında Conv geçen her modül için parametre sayısı çarpı çıkış konumu, yanlılıklar dahil; öbür "
            "modüller için yalnızca parametreleri.",
        },
        wrong={
            "en": "A norm costs its 2C parameters however large the picture; activations, pools and additions are "
            "free; a norm that has children, such as timm's BatchNormAct2d, costs nothing. The parameters of a module "
            "called past its parent, here a gate on the shortcut, are counted twice.",
            "tr": "Norm, resim ne kadar büyük olursa olsun 2C parametresi kadardır; aktivasyonlar, havuzlamalar ve "
            "toplamalar bedavadır; timm'in BatchNormAct2d'si gibi alt modülü olan normlar hiç sayılmaz. Üst modülü "
            "atlanarak çağrılan modülün, burada kısayoldaki kapının, parametreleri iki kez sayılır.",
        },
    ),
    Convention(
        "thop", "thop profile", "MACs", "MACs", THOP, THOP_PARAMS, None,
        why={
            "en": "Multiply-adds without biases, four operations an element for batch norm, and average pools.",
            "tr": "Yanlılıksız çarpma-toplamalar, toplu normalleştirmede eleman başına dört işlem ve ortalama "
            "havuzlamalar.",
        },
        wrong={
            "en": "Four operations for a norm that folds into the convolution, added to MACs as if they were; group "
            "norm costs nothing and its parameters are left out, as are those of any class that thop does not know.",
            "tr": "Konvolüsyona katlanabilen bir norma dört işlem, MAC'miş gibi eklenir; grup normalleştirme bedavadır "
            "ve parametreleri sayılmaz, thop'un tanımadığı bütün sınıflarınki gibi.",
        },
    ),
    Convention(
        "flopcounter", "torch.utils.flop_counter.FlopCounterMode", "FLOPs", "FLOPs",
        (Term(MULTIPLYING, 2, "macs"),), None, None,
        why={
            "en": "Two FLOPs for each multiply-add of the convolutions and matrix products that run, without biases.",
            "tr": "Çalışan konvolüsyon ve matris çarpımlarının her çarpma-toplaması için iki FLOP, yanlılıksız.",
        },
        wrong={
            "en": "Right for the forward pass. Of a grouped convolution's backward pass it counts too much "
            "(ResNeXt-50: 1.86 times).",
            "tr": "İleri geçişte doğrudur. Gruplu konvolüsyonun geri geçişini fazla sayar (ResNeXt-50: 1,86 kat).",
        },
    ),
)  # fmt: skip

CONVENTIONS: Final[dict[str, Convention]] = {row.name: row for row in _ROWS}


class Hiding(NamedTuple):
    """Norms that a tool with one of ``sees`` does not recognise; the restrictions are as a term's, and ``preact``
    restricts it to designs whose blocks begin with a preact slot."""

    sees: tuple[Sight, ...]
    slots: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    preact: bool = False


class Writing(NamedTuple):
    """How the module that a tool looks at is written."""

    name: str
    hidden_norms: tuple[Hiding, ...]
    note: Words


WRITINGS: Final[dict[str, Writing]] = {
    "modules": Writing(
        "modules", (),
        {
            "en": "Every norm a plain torch.nn module: otoyol.nn, torchvision's ResNet, timm's ResNet with batch norm.",
            "tr": "Her norm yalın bir torch.nn modülü: otoyol.nn, torchvision'ın ResNet'i, timm'in toplu "
            "normalleştirmeli ResNet'i.",
        },
    ),
    "timm": Writing(
        "timm",
        (
            Hiding(("class", "leaf"), preact=True),
            Hiding(("class", "leaf"), slots=("attention",)),
            Hiding(("class",), details=("group",)),
        ),
        {
            "en": "As timm writes it: pre-activation networks and CBAM hold norm and activation in one module "
            "(BatchNormAct2d), group norm is a subclass of torch's; tools that go by module classes miss them.",
            "tr": "timm'in yazdığı gibi: ön aktivasyonlu ağlarda ve CBAM'de norm ile aktivasyon tek modüldür "
            "(BatchNormAct2d), grup normalleştirme torch'unkinin alt sınıfıdır; modül sınıfına bakan araçlar bunları "
            "görmez.",
        },
    ),
}  # fmt: skip
