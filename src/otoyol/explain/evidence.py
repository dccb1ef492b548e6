"""Published results that the answers cite, as printed in their sources.

Each row: the figures a sentence ``evidence.<name>`` asks for, and the keys of its sources. Errors and accuracies are
top-1 in percent unless the sentence says otherwise.
"""

from __future__ import annotations

from otoyol.explain.telling import Line

Figures = dict[str, float]

EVIDENCE: dict[str, tuple[Figures, tuple[str, ...]]] = {
    # 1512.03385 Table 1 (multiply-adds) and Table 3 (ImageNet, 10-crop top-1 error).
    "bottleneck_depth": (
        {"gmacs_34": 3.6, "gmacs_50": 3.8, "error_34": 24.52, "error_50": 22.85},
        ("he2015_t1", "he2015_t3"),
    ),
    # 1605.07146 Table 2 (CIFAR-10, k = 2): B(3,3) at 28 layers, 1.5M; B(1,3,1) at 40 layers, 1.4M.
    "bottleneck_pairs": ({"error_pairs": 5.73, "params_pairs": 1.5, "error_bottleneck": 6.06, "params_bottleneck": 1.4},
                         ("wrn_t2",)),
    # 1605.07146 Table 8 (ImageNet, single crop).
    "expansion_wide": ({"error_50": 24.01, "params_50": 25.6, "error_wide": 21.9, "params_wide": 68.9}, ("wrn_t8",)),
    # 1611.05431, single crop: equal complexity, 32 groups of 4.
    "expansion_groups": ({"error_resnet": 23.9, "error_resnext": 22.2}, ("resnext",)),
    # 1605.07146: no difference below 100 layers on ImageNet; CIFAR-10, 500 epochs, several depths (osmr/imgclsmob).
    "preact_shallow": ({"v1_20": 5.97, "v2_20": 6.51, "v1_56": 4.52, "v2_56": 4.49}, ("wrn_claim", "osmr")),
    "preact_spread": ({"v1_low": 8.44, "v1_high": 8.84, "v2_low": 7.92, "v2_high": 8.63}, ("tf2",)),
    # 1603.05027 Table 3 (CIFAR-10) against the same replication.
    "preact_middle": (
        {"v1_110": 6.61, "v2_110": 6.37, "v1_164": 5.93, "v2_164": 5.46,
         "again_v1_110": 3.69, "again_v2_110": 3.86, "again_v1_164": 3.68, "again_v2_164": 3.64},
        ("he2016_t3", "osmr"),
    ),
    # 1603.05027 Table 5 (ImageNet, single crop of 320).
    "preact_imagenet": ({"v1_152": 21.3, "v2_152": 21.1, "v1_200": 21.8, "v2_200": 20.7}, ("he2016_t5",)),
    "preact_deep": ({"v1_1001": 7.61, "v2_1001": 4.92, "again_v1": 3.28, "again_v2": 2.65}, ("he2016_t3", "osmr")),
    # 1603.05027 Table 2 (CIFAR-10, ResNet-110 and ResNet-164).
    "preact_orderings": (
        {"original_110": 6.61, "bn_after_110": 8.17, "relu_before_110": 7.84, "relu_preact_110": 6.71, "full_110": 6.37,
         "original_164": 5.93, "full_164": 5.46},
        ("he2016_t2",),
    ),
    # 1512.03385 Table 3: ResNet-34 with options A, B, C (10-crop).
    "projection_options": ({"error_a": 25.03, "error_b": 24.52, "error_c": 24.19}, ("he2015_t3",)),
    # 1603.05027 Table 1: ResNet-110, a 1×1 convolution on every shortcut.
    "projection_everywhere": ({"error_identity": 6.61, "error_conv": 12.22}, ("he2016_t1",)),
    # OpenMMLab's ResNetV1C-50 and ResNetV1D-50, one recipe, accuracy: only the pool before the projection differs.
    "projection_pool": ({"accuracy_c": 77.01, "accuracy_d": 77.54}, ("mmpretrain",)),
    # 1603.05027 Table 1, same network: scaling, gating and dropout on the shortcut.
    "highway_blocked": (
        {"error_identity": 6.61, "error_scaled": 12.35, "error_gated": 8.7, "error_shortcut_gated": 6.91},
        ("he2016_t1",),
    ),
    # 1709.01507 Table 2 (ImageNet, re-implementation, single crop), GFLOPs as printed.
    "attention_se": (
        {"error_50": 24.8, "error_se_50": 23.29, "g_50": 3.86, "g_se_50": 3.87,
         "error_101": 23.17, "error_se_101": 22.38},
        ("senet_t2",),
    ),
    # 1709.01507 Table 14 (ResNet-50).
    "attention_place": (
        {"error_none": 23.3, "error_se": 22.28, "error_pre": 22.23, "error_post": 22.78, "error_identity": 22.2},
        ("senet_t14", "senet_t16"),
    ),
    # 1709.01507 Table 15: after the 3×3 instead of at the end.
    "attention_spatial": ({"error_end": 22.28, "params_end": 28.1, "error_spatial": 22.48, "params_spatial": 25.8},
                          ("senet_t15",)),
    # 1709.01507 Table 4 against a third party's CIFAR-10 accuracies.
    "attention_cifar": (
        {"error_110": 6.37, "error_se_110": 5.21, "accuracy_again_110": 86.56, "accuracy_again_164": 55.25},
        ("senet_t4", "ai_huang"),
    ),
}  # fmt: skip


def cite(*names: str) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """The sentences of some rows, and their sources once each."""
    lines = tuple(Line(f"evidence.{name}", dict(EVIDENCE[name][0])) for name in names)
    return lines, tuple(dict.fromkeys(source for name in names for source in EVIDENCE[name][1]))
