"""The options that several verbs share, each once. Help is in the language of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from otoyol.cli.words import language, word
from otoyol.explain import ANSWERED
from otoyol.explain.text import LANGUAGES

if TYPE_CHECKING:  # which takes no words that are known at run time alone
    Language = str
    Question = str
else:
    Language = Literal[LANGUAGES]
    Question = Literal[(*ANSWERED, "all")]


def option(key: str, *names: str) -> Parameter:
    """A parameter whose help is the word ``option.<key>``."""
    return Parameter(name=names or None, help=word(f"option.{key}", language()), negative=())


SpecText = Annotated[str, option("spec")]
SpecTexts = Annotated[tuple[str, ...], option("specs")]
Json = Annotated[bool, option("json", "--json")]
Lang = Annotated[Language | None, option("lang", "--lang")]
DType = Literal["float64", "float32", "float16", "bfloat16"]
Equal = Literal["macs", "params", "activations", "train_bytes", "training_bytes", "train_bytes_lean",
                "peak_inference_bytes", "latency"]  # fmt: skip
Vary = Annotated[Literal["widths", "depths", "both"], option("vary", "--vary")]
Multiple = Annotated[int, option("multiple", "--multiple")]
