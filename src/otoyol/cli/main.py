"""The way in: verbs by name, loaded when called; every deliberate error is one sentence and status 2.

cyclopts is imported late, so that the garbage collector is told to wait before there is anything to collect.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from otoyol import __version__
from otoyol.cli.inputs import STANDARD_INPUT
from otoyol.errors import MissingExtraError, OtoyolError

if TYPE_CHECKING:
    from cyclopts import App

VERBS = (
    "design",
    "families",
    "show",
    "why",
    "compare",
    "match",
    "search",
    "trials",
    "measure",
    "probe",
    "train",
    "evaluate",
    "predict",
    "cost",
    "memory",
    "draw",
    "check",
    "data",
    "report",
    "share",
    "export",
    "bench",
    "run",
    "quantise",
    "serve",
    "studio",
    "schema",
    "completion",
)
EXTRAS = {"torch": "torch", "torchvision": "torch", "safetensors": "torch", "timm": "timm", "matplotlib": "plot",
          "sklearn": "demo", "PIL": "demo", "onnx": "ort", "onnxruntime": "ort",
          "onnxscript": "deploy", "openvino": "deploy", "nncf": "int8",
          "fastapi": "serve", "uvicorn": "serve", "prometheus_client": "serve", "huggingface_hub": "hub",
          "lightning_fabric": "train", "pytorch_lightning": "train", "tensorboard": "train",
          "optuna": "trials", "sqlalchemy": "trials", "psycopg": "trials"}  # fmt: skip

# These talk to other processes: one that goes away amid a word is an error, or nothing at all, and not their end.
TALKING = {"train", "evaluate", "predict", "trials", "share", "serve", "studio"}

FINE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def make_app(plain_help: bool = False) -> App:
    """The command line as data: a verb is a module of the same name that is imported only when it is called.
    ``plain_help`` draws no boxes and breaks no lines, for a pipe."""
    from cyclopts import App, Parameter

    from otoyol.cli.words import language, word

    lang = language()
    console = None
    if plain_help:
        from rich.console import Console

        console = Console(width=1000)
    app = App(
        name="otoyol",
        help=word("help.otoyol", lang),
        help_epilogue=word("help.epilogue", lang),
        help_format="plaintext",
        help_formatter="plain" if plain_help else None,
        console=console,
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=False),
    )
    for verb in VERBS:
        app.command(f"otoyol.cli.{verb}:{verb}", name=verb, help=word(f"help.{verb}", lang))
    app.command(
        "otoyol.cli.completion:install_completion",
        name="--install-completion",
        help=word("help.install_completion", lang),
    )
    return app


def run(tokens: Sequence[str]) -> int:
    """Run one command line and return its exit status: 0 fine, 1 a check failed, 2 bad input, 130 interrupted."""
    from cyclopts import CycloptsError

    helps = not tokens or "--help" in tokens or "-h" in tokens
    app = make_app(plain_help=helps and not sys.stdout.isatty())
    words = [STANDARD_INPUT if token == "-" else token for token in tokens]  # cyclopts takes - for an option
    try:
        result = app(words, print_error=False, exit_on_error=False, verbose=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _refuse(_short(str(error)))
    except OtoyolError as error:
        return _refuse(_said(error, tokens))
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        return _refuse(str(MissingExtraError(error.name, EXTRAS[error.name])))
    except OSError as error:  # standard output: a full disk, a closed file
        return _refuse(error.strerror or str(error))
    return result if isinstance(result, int) else FINE


def _said(error: OtoyolError, tokens: Sequence[str]) -> str:
    """The error in the language of the command, where its words are known in it."""
    from otoyol.cli.words import language
    from otoyol.explain.refusal import sentence
    from otoyol.explain.text import LANGUAGES

    asked = " ".join(tokens).replace("--lang=", "--lang ").split()
    chosen = asked[asked.index("--lang") + 1 :][:1] if "--lang" in asked else []
    known = chosen and chosen[0] in LANGUAGES
    return sentence(str(error), language(chosen[0] if known else "en" if chosen else None))


def _short(message: str) -> str:
    """cyclopts repeats what was typed, however long."""
    return message if len(message) <= 400 else f"{message[:300]}…{message[-80:]}"


def _refuse(message: str) -> int:
    with contextlib.suppress(OSError):
        line = " ".join(message.split())
        print("otoyol:", line if line.isprintable() else ascii(line), file=sys.stderr)
    return BAD_INPUT


def main() -> None:
    """Run ``sys.argv`` and leave with its exit status."""
    gc.set_threshold(100_000, 20, 20)  # a short run builds much and drops little
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads every installed package
    if hasattr(signal, "SIGPIPE") and not TALKING.intersection(sys.argv[1:2]):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `otoyol families | head -1` ends quietly
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
