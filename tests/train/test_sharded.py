"""Two processes with parameters in shards: the same training, the same files, and whole where that is needed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_ranks import CONFIG, finished, rows, started
from torch.distributed.tensor import DTensor

from otoyol.errors import OtoyolError, SpecError
from otoyol.nn import build, memory_mode
from otoyol.train import fit
from otoyol.train.after import evaluate
from otoyol.train.classification import ClassificationConfig
from otoyol.train.folder import load_run
from otoyol.train.run import _same
from otoyol.train.sharded import parted_optimiser, shard, together
from otoyol.train.store import Store
from otoyol.weights.files import spec_of

STEPS = 20
FSDP: dict[str, Any] = {
    **CONFIG,
    "recipe": {**CONFIG["recipe"], "steps": STEPS, "accumulate": 2, "clip": 0.5},
    "run": {**CONFIG["run"], "strategy": "fsdp", "evaluate_every": 10, "on_nan": "skip",
            "checkpoints": {"every_seconds": None}},
}  # fmt: skip
# A run undisturbed; one that gets a signal in its eighth step and finds, by the second process's clock alone, a
# checkpoint due at every step; the same taken up; one with a gradient that is not finite in the second process's shard
# alone. Each process notes what it holds of parameters, momenta and average.
RUNS = """
import json, os, signal, sys
from pathlib import Path
from otoyol.train import fit, read_config
from otoyol.train.engine import Trainer

def train(trainer, content, known=Trainer.train):
    known(trainer, content)
    momenta = [state["momentum_buffer"] for state in trainer.optimiser.state_dict()["state"].values()]
    average = [trainer.average.values[name] for name, _ in trainer.model.named_parameters()]
    held = [[sum(v.numel() for v in found), sum(v.to_local().numel() for v in found)]
            for found in (list(trainer.model.parameters()), momenta, average)]
    (base / f"held-{trainer.rank}.json").write_text(json.dumps(held))

def tell(told):
    if getattr(told, "loss", None) and told.step == 7:
        os.kill(os.getpid(), signal.SIGTERM)

Trainer.train = train
config, base = Path(sys.argv[1]), Path(sys.argv[2])
fit(read_config(config), base / "two")
late = ["run.checkpoints.every_seconds=0.000001"] if os.environ["RANK"] == "1" else []
status = fit(read_config(config, late), base / "stopped", tell=tell).status
if os.environ["RANK"] == "0":
    saved = sorted(path.name[:15] for path in (base / "stopped" / "checkpoints").glob("*.ckpt"))
    (base / "stopped.json").write_text(json.dumps([status, saved]))
fit(read_config(config), base / "stopped", resume=True)

def problem(trainer, loss, known=Trainer._problem):
    if trainer.rank == 1 and trainer.state.step == 1:
        next(trainer.model.parameters()).grad.to_local()[0] = float("nan")
    return known(trainer, loss)

Trainer._problem = problem
fit(read_config(config, ["recipe.steps=3", "recipe.clip=null"]), base / "poisoned")
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes make of it, undisturbed; beside it the run that was stopped."""
    base = tmp_path_factory.mktemp("sharded")
    config, script = base / "tiny.yaml", base / "runs.py"
    config.write_text(yaml.safe_dump(FSDP), encoding="utf-8")
    script.write_text(RUNS, encoding="utf-8")
    finished(started(str(script), str(config), str(base)))
    return base / "two"


def test_shards_train_as_one_whole_does(two: Path) -> None:
    one = two.with_name("one")
    fit(ClassificationConfig(**{**FSDP, "run": {**FSDP["run"], "strategy": "ddp"}}), one)
    alone, both = rows(one), rows(two)
    assert len(alone) == len(both) == STEPS
    for mine, theirs in zip(alone, both, strict=True):
        assert float(theirs["loss"]) == pytest.approx(float(mine["loss"]), rel=1e-9)
    for name in ("val_accuracy", "val_top5", "val_loss"):
        assert float(both[-1][name]) == pytest.approx(float(alone[-1][name]), rel=1e-9)
    mine, theirs = ({name: Store(folder / "checkpoints", 2).load().content[name]  # type: ignore[union-attr]
                     for name in ("model", "optimiser", "average")} for folder in (one, two))  # fmt: skip
    torch.testing.assert_close(theirs, mine, rtol=1e-7, atol=1e-9)  # of the same names, kinds and shapes
    for name in ("last", "best"):
        torch.testing.assert_close(load_file(two / f"{name}.safetensors"), load_file(one / f"{name}.safetensors"),
                                   rtol=1e-7, atol=1e-9)  # fmt: skip


def test_each_process_holds_half(two: Path) -> None:
    first, second = (json.loads(two.with_name(f"held-{rank}.json").read_text()) for rank in (0, 1))
    for (whole, mine), (_, theirs) in zip(first, second, strict=True):
        assert whole == 5090 and mine + theirs == whole
        assert abs(mine / whole - 0.5) < 0.02


def test_the_result_is_a_model_on_its_own(two: Path) -> None:
    result = json.loads((two / "result.json").read_text(encoding="utf-8"))
    assert result["params"] == 5090
    for name, value in evaluate(load_run(two))["metrics"].items():
        assert result["metrics"][name] == pytest.approx(value, rel=1e-9), name


def test_a_stopped_run_goes_on_to_the_same_bits(two: Path) -> None:
    folder = two.with_name("stopped")
    status, saved = json.loads(two.with_name("stopped.json").read_text())
    assert status == 128 + signal.SIGTERM
    assert saved == ["step-0000000007", "step-0000000008"], "both save where one is late, and where one is to stop"
    for name in ("last", "best"):
        before, after = (load_file(at / f"{name}.safetensors") for at in (two, folder))
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    same = [name for name in rows(two)[0] if name not in ("seconds", "images_per_second")]
    assert [[row[n] for n in same] for row in rows(folder)] == [[row[n] for n in same] for row in rows(two)]


def test_a_gradient_is_as_finite_as_all_its_shards(two: Path) -> None:
    result = json.loads((two.with_name("poisoned") / "result.json").read_text(encoding="utf-8"))
    assert result["nan_steps"] == [2]
    assert all(value.isfinite().all() for value in load_file(two.with_name("poisoned") / "last.safetensors").values())


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("run", "channels_last", True), ("run", "compile", True), ("run", "sync_batch_norm", True),
     ("recipe", "precision", "16-mixed")],
)  # fmt: skip
def test_what_shards_do_not_have_is_refused(part: str, name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=rf"{part}\.{name}: got {value}; allowed: .* with run\.strategy fsdp"):
        ClassificationConfig(**{**FSDP, part: {**FSDP[part], name: value}})


def test_a_run_keeps_its_strategy() -> None:
    """Sums over more than two ranks are added up in another order, so its bits would be others."""
    known = {"config": ClassificationConfig(**CONFIG).deciding(), "classes": [], "train": {}, "validation": {}}
    fsdp = ClassificationConfig(**{**CONFIG, "run": {**CONFIG["run"], "strategy": "fsdp"}}).deciding()
    with pytest.raises(SpecError, match=r"run\.strategy: got fsdp; allowed: ddp, which the run began with"):
        _same(known, {**known, "config": fsdp})
    before = {name: value for name, value in known["config"]["run"].items() if name != "strategy"}
    earlier = {**known, "config": {**known["config"], "run": before}}  # of a release without the field
    _same(earlier, known)


@pytest.fixture
def mesh() -> Iterator[torch.distributed.DeviceMesh]:
    """Of this process alone: what is sharded over it is sharded all the same."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield torch.distributed.init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    finally:
        torch.distributed.destroy_process_group()


def test_a_tap_amid_a_block_finds_its_norm(mesh: torch.distributed.DeviceMesh) -> None:
    spec = spec_of("resnetv2_18@block=basic-v2,depths=1-1-1-1,widths=8-8-16-16,stem.widths=8,taps=preact")
    plain, model = (build(spec, features_only=True).double().eval() for _ in range(2))
    model.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = plain(x)
    sum(tap.square().mean() for tap in expected).backward()
    shard(model, mesh)
    taps = model(x)
    sum(tap.square().mean() for tap in taps).backward()
    assert all(torch.equal(tap, of) for tap, of in zip(taps, expected, strict=True))
    for (name, one), other in zip(plain.named_parameters(), model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:  # paths may be added up in another order
            torch.testing.assert_close(other.grad.full_tensor(), one.grad, rtol=1e-10, atol=1e-12)


def test_passes_together_are_a_process_s_own(mesh: torch.distributed.DeviceMesh) -> None:
    """Processes judge unlike numbers of batches: one that gathered at a pass would wait for the others for ever."""
    plain, model = (build(spec_of(CONFIG["spec"])).double().eval() for _ in range(2))
    model.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = model(x)
        shard(model, mesh)
        for _ in range(2):  # before a first pass of the shards as well, as when a run is resumed that is done
            with together(model):
                for _ in range(2):
                    assert torch.equal(model(x), expected)
                    assert not any(isinstance(value, DTensor) for value in model.parameters()), "nothing to gather"
            assert all(isinstance(value, DTensor) for value in model.parameters())
            assert torch.equal(model(x), expected)
            assert all(isinstance(value, DTensor) for value in model.stages.parameters())
    for one in (plain, model):  # and training goes on
        one(x).square().mean().backward()
    for mine, theirs in zip(plain.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad.full_tensor(), mine.grad, rtol=1e-10, atol=1e-12)


def test_norms_learn_where_stages_run_again(mesh: torch.distributed.DeviceMesh) -> None:
    spec = spec_of("resnetv2_18@block=basic-v2,depths=1-1-1-1,widths=8-8-16-16,stem.widths=8")
    plain, model = (build(spec, features_only=True).double().train() for _ in range(2))
    model.load_state_dict(plain.state_dict())
    memory_mode(model, "checkpoint")
    shard(model, mesh)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for one in (plain, model):
        sum(tap.square().mean() for tap in one(x)).backward()
    for (name, mine), theirs in zip(plain.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad.full_tensor(), mine.grad, rtol=1e-10, atol=1e-12, msg=name)


def test_an_optimiser_of_other_parameters_is_refused() -> None:
    model = torch.nn.Linear(2, 2)
    saved = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    with pytest.raises(OtoyolError, match="2 parameters learnt until here, now there are 1"):
        parted_optimiser(saved, torch.optim.SGD([model.weight], lr=0.1))


def test_a_run_of_two_processes_is_taken_up_by_one(two: Path) -> None:
    """The last of these tests, for it writes the result anew."""
    assert fit(ClassificationConfig(**FSDP), two, resume=True).status == 0
    assert json.loads((two / "result.json").read_text(encoding="utf-8"))["ranks"] == 1
