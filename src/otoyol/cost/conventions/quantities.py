"""What a counting tool may read off one operator: whole numbers for one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from otoyol.cost.formulas import elements_in, elements_out, macs, params
from otoyol.ops import Op

Words = dict[str, str]  # by language
GROUP: Final[Words] = {"en": ",", "tr": "."}  # between thousands


def in_words(words: Words, lang: str) -> str:
    """The words in ``lang``; English where it has none."""
    return words.get(lang, words["en"])


def _inputs_and_outputs(op: Op) -> int:
    return elements_in(op) + elements_out(op)


def _padded_inputs(op: Op) -> int:
    """The input of a stride-1 2×2 pool, with the row and the column of zeros that keep its size."""
    return op.c_in * (op.h_in + 1) * (op.w_in + 1)


def _bias_additions(op: Op) -> int:
    """One addition for each output element of an operator with a bias."""
    return elements_out(op) if op.bias else 0


def _biases(op: Op) -> int:
    """Elements of the bias vector, however often it is added."""
    return op.c_out if op.bias else 0


def _gate_params(op: Op) -> int:
    """Parameters of a gate on the shortcut (He et al. 2016, section 3.1): its module is called past its parent."""
    return params(op) if op.slot == "shortcut" and op.bias else 0


QUANTITIES: Final[dict[str, Callable[[Op], int]]] = {
    "macs": macs,
    "inputs": elements_in,
    "padded inputs": _padded_inputs,
    "outputs": elements_out,
    "inputs+outputs": _inputs_and_outputs,
    "bias additions": _bias_additions,
    "biases": _biases,
    "params": params,
    "gate params": _gate_params,
}

QUANTITY_WORDS: Final[dict[str, Words]] = {
    "macs": {"en": "MACs", "tr": "MAC"},
    "inputs": {"en": "input elements", "tr": "giriş elemanı"},
    "padded inputs": {"en": "padded input elements", "tr": "dolgulu giriş elemanı"},
    "outputs": {"en": "output elements", "tr": "çıkış elemanı"},
    "inputs+outputs": {"en": "input and output elements", "tr": "giriş ve çıkış elemanı"},
    "bias additions": {"en": "biased outputs", "tr": "yanlılık eklenen çıkış"},
    "biases": {"en": "bias elements", "tr": "yanlılık elemanı"},
    "params": {"en": "parameters", "tr": "parametre"},
    "gate params": {"en": "parameters of gates", "tr": "kapı parametresi"},
}
