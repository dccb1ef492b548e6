"""Configurations: read in three formats, overridden by path, printed whole, refused by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from otoyol.errors import SpecError
from otoyol.spec import parse
from otoyol.train.classification import ClassificationConfig
from otoyol.train.files import changed, config_of, config_text, read_config

MINIMAL: dict[str, Any] = {"spec": "cifar_resnet20", "recipe": {"epochs": 2}}


def test_three_formats_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("spec: cifar_resnet20\nrecipe: {epochs: 2}\n")
    (tmp_path / "a.toml").write_text('spec = "cifar_resnet20"\n[recipe]\nepochs = 2\n')
    (tmp_path / "a.json").write_text(json.dumps(MINIMAL))
    read = [read_config(tmp_path / f"a.{suffix}") for suffix in ("yaml", "toml", "json")]
    assert read[0] == read[1] == read[2] == ClassificationConfig(**MINIMAL)


def test_what_is_printed_is_whole_and_read_back(tmp_path: Path) -> None:
    chosen = config_of({**MINIMAL, "recipe": {"epochs": 2, "optimiser": {"momentum": 0.9, "nesterov": True}}})
    text = config_text(chosen)
    assert {"spec", "weights", "freeze", "recipe", "run", "task", "data", "augment", "mix"} <= yaml.safe_load(
        text
    ).keys()
    assert yaml.safe_load(text)["recipe"]["optimiser"]["nesterov"] is True
    (tmp_path / "all.yaml").write_text(text)
    assert read_config(tmp_path / "all.yaml") == chosen


@pytest.mark.parametrize("form", ["text", "file", "mapping", "nested"])
def test_a_spec_in_every_form(form: str, tmp_path: Path) -> None:
    from otoyol.spec import save, to_mapping

    spec = parse("cifar_resnet20@act=silu")
    save(spec, tmp_path / "spec.toml")
    given = {"text": "cifar_resnet20@act=silu", "file": str(tmp_path / "spec.toml"), "mapping": to_mapping(spec),
             "nested": spec}[form]  # fmt: skip
    assert config_of({**MINIMAL, "spec": given}).spec == spec


def test_values_by_their_paths() -> None:
    found = changed(MINIMAL, ["recipe.optimiser.lr=0.5", "run.workers=3", "freeze=[stem, stages.0]", "recipe.epochs=7",
                              "spec=resnet18@head=10"])  # fmt: skip
    chosen = config_of(found)
    assert (chosen.recipe.optimiser.lr, chosen.run.workers, chosen.recipe.epochs) == (0.5, 3, 7)
    assert chosen.freeze == ("stem", "stages.0") and chosen.spec == parse("resnet18@head=10")
    assert MINIMAL == {"spec": "cifar_resnet20", "recipe": {"epochs": 2}}  # as it was


REFUSED = [
    (["recipe.batch=0"], "recipe.batch", "0", "at least 1"),
    (["recipe.batch=a"], "recipe.batch", "a", "whole number"),
    (["recipe.optimiser.lr=-1"], "recipe.optimiser.lr", "-1", "more than 0"),
    (["recipe.optimiser.momentun=0.9"], "recipe.optimiser.momentun", "0.9", "momentum, dampening, nesterov"),
    (["recipe.optimiser.momentum=much"], "recipe.optimiser.momentum", "much", "a number"),
    (["recipe.optimiser.nesterov=1"], "recipe.optimiser.nesterov", "1", "true or false"),
    (["recipe.optimiser.name=adamw", "recipe.optimiser.betas=[0.9]"], "recipe.optimiser.betas", "[0.9]", "2 numbers"),
    (["recipe.optimiser.name=adam", "recipe.optimiser.betas=0.9"], "recipe.optimiser.betas", "0.9", "2 numbers"),
    (["recipe.optimiser.name=adam", "recipe.optimiser.betas=[a, 0.9]"], "recipe.optimiser.betas", "a", "2 numbers"),
    (["recipe.optimiser.momentum=[0.9]"], "recipe.optimiser.momentum", "[0.9]", "a number"),
    (["recipe.optimiser.momentum=.nan"], "recipe.optimiser.momentum", "nan", "a number"),
    (["recipe.optimiser.name=lion"], "recipe.optimiser.name", "lion", "adamw"),
    (["recipe.steps=5"], "recipe", "both epochs and steps", "one of"),
    (["recipe.epochs=null"], "recipe", "neither", "one of"),
    (["recipe.schedule.name=cosin"], "recipe.schedule.name", "cosin", "cosine"),
    (["recipe.precision=16"], "recipe.precision", "16", "bf16-mixed"),
    (["recipe.ema.decay=1.0"], "recipe.ema.decay", "1.0", "less than 1"),
    (["run.checkpoints.keep=1"], "run.checkpoints.keep", "1", "at least 2"),
    (["run.memory=small"], "run.memory", "small", "lean"),
    (["run.sead=1"], "run.sead", "1", "fields seed"),
    (["data.judge=val"], "data.judge", "val", "held-out"),
    (["augment.crop.kind=zoom"], "augment.crop.kind", "zoom", "resized"),
    (["augment.crop.scale=[1.0, 0.08]"], "augment.crop.scale", "[1.0, 0.08]", "lower number first"),
    (["augment.crop.ratio=[2, 1]"], "augment.crop.ratio", "[2.0, 1.0]", "lower number first"),
    (["augment.affine.scale=[1.15, 0.85]"], "augment.affine.scale", "[1.15, 0.85]", "lower number first"),
    (["augment.flip=2.0"], "augment.flip", "2.0", "from 0 to 1"),
    (["spec.stages=none"], "spec", "stages", "paths? of fields"),
    (["spec=resnet18@expansion=0"], "spec.expansion", "0", "rational"),
    (["task=segmentation"], "task", "segmentation", "classification or detection"),
    (["colour=red"], "colour", "red", "fields"),
    (["recipe.epochs"], "set", "recipe.epochs", "PATH=VALUE"),
    (["recipe..epochs=1"], "set", "recipe", "PATH=VALUE"),
]


@pytest.mark.parametrize(("changes", "field", "given", "allowed"), REFUSED, ids=lambda value: str(value)[:40])
def test_refusals_name_field_value_and_what_is_allowed(
    changes: list[str], field: str, given: str, allowed: str
) -> None:
    import re

    with pytest.raises(SpecError) as refused:
        config_of(changed(MINIMAL, changes))
    message = str(refused.value)
    assert re.search(allowed, message), message
    assert given in message and (refused.value.field == field or refused.value.field == "set"), message


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    for text, words in (
        ("", "a mapping"),
        ("- a\n", "a mapping"),
        ("1: 2\n", "field names as keys"),
        ("a: [", "valid YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(SpecError, match=words):
            read_config(tmp_path / "bad.yaml")
    with pytest.raises(SpecError, match="readable file"):
        read_config(tmp_path / "none.yaml")


def test_what_may_differ_in_a_resumption() -> None:
    one = config_of(MINIMAL).deciding()
    free = [
        "run.workers=4",
        "run.checkpoints.keep=5",
        "run.tensorboard=false",
        "data.source=/elsewhere",
        "data.cache=true",
    ]
    assert config_of(changed(MINIMAL, free)).deciding() == one
    for change in ("run.seed=1", "recipe.batch=8", "data.judge=held-out", "augment.flip=0.5", "label_smoothing=0.1"):
        assert config_of(changed(MINIMAL, [change])).deciding() != one
