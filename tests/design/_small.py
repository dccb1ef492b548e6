"""A space of 2·2·2^4·4^4 small designs, and one run of the whole way over it."""

from __future__ import annotations

SPACE = """\
base: resnet50@input=3x32x32,head=10
choices:
  block: [basic, bottleneck-v2]
  attention: [none, se]
depths: {low: 1, high: 2}
widths: {low: 8, high: 32, multiple: 8}
tie: increasing
"""
BUDGETS = ["macs<=4M", "params<=100k"]
