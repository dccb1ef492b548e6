"""Which table is meant: ``ort,b1,t2`` names engine, batch, threads and dtype, in any order, as many as are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from otoyol.errors import SpecError
from otoyol.measure.engine import ENGINES

DTYPES = ("float32", "float64", "bfloat16", "float16")
USUAL_DTYPE = "float32"
_NUMBER = re.compile(r"([bt])(\d{1,6})\Z")
_NAMES = {"b": "batch", "t": "threads"}


def where_of(fingerprint: Mapping[str, Any]) -> str:
    """A table's settings in words: ``ort,b1,t2``, and the dtype where it is not float32."""
    words = [str(fingerprint["engine"]), f"b{fingerprint['batch']}", f"t{fingerprint['threads']}"]
    return ",".join(words if fingerprint["dtype"] == USUAL_DTYPE else [*words, str(fingerprint["dtype"])])


def settings_of(words: str) -> dict[str, Any]:
    """What the words say: ``{"engine": "ort", "batch": 1}``. Raises SpecError for words that mean nothing."""
    found: dict[str, Any] = {}
    for word in filter(None, (part.strip() for part in words.split(","))):
        number = _NUMBER.match(word)
        if number:
            field, value = _NAMES[number[1]], int(number[2])
        elif word in ENGINES or word in DTYPES:
            field, value = ("engine" if word in ENGINES else "dtype"), word  # type: ignore[assignment]
        else:
            raise SpecError(
                f"latency_ms@{words}", word, f"an engine ({', '.join(ENGINES)}), bN for the batch, tN for threads, "
                f"or a dtype ({', '.join(DTYPES)})"
            )  # fmt: skip
        if found.setdefault(field, value) != value:
            raise SpecError(f"latency_ms@{words}", f"{field} {found[field]} and {value}", f"one {field}")
    return found


def select(tables: Mapping[str, Mapping[str, Any]], words: str) -> str:
    """The name of the only one of ``tables`` (fingerprints by name) that the words fit. Raises SpecError."""
    asked = f"latency_ms@{words}" if words else "latency_ms"
    if not tables:
        raise SpecError(asked, "no table", "--table FILE, a latency table that `otoyol measure` has made here")
    wanted = settings_of(words)
    fit = [name for name, made in tables.items() if all(made.get(key) == value for key, value in wanted.items())]
    if len(fit) == 1:
        return fit[0]
    told = "; ".join(f"{where_of(tables[name])} ({name})" for name in (fit or tables))
    if not fit:
        raise SpecError(asked, "no table that fits", f"one of {told}")
    raise SpecError(asked, f"{len(fit)} tables that fit", f"words that single out one of {told}")
