"""otoyol schema: the JSON Schema of spec files."""

from __future__ import annotations

from otoyol.cli.output import write_json


def schema() -> None:
    from otoyol.spec import Spec

    write_json(Spec.model_json_schema())
