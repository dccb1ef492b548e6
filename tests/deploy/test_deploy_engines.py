"""Engines agree with the module, races are fair, winners are believed on their own machine alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import otoyol
from otoyol.cli import bench as telling
from otoyol.cli.main import run as command
from otoyol.deploy import Artifact, Best, choose, export_onnx, huge_pages, load_engine
from otoyol.deploy import best as keeping
from otoyol.deploy import engines as engine_list
from otoyol.deploy.bench import BURST, ROUNDS, Bench, Row, bench, race
from otoyol.deploy.predict import prepare
from otoyol.errors import MissingExtraError, OtoyolError, SpecError
from otoyol.measure.fingerprint import cores, processor
from otoyol.measure.table import Timing


@pytest.mark.parametrize("engine", ["eager", "eager-nhwc", "ort", "ort-hugepages", "openvino", "openvino-hugepages"])
def test_engines_put_out_what_the_module_does(engine: str, classifier, uint8, taps) -> None:
    random = np.random.default_rng(3)
    artifact = Artifact(classifier.exported.path)
    if reason := engine_list.obstacle(engine, artifact):
        pytest.skip(reason)
    x = random.standard_normal((2, 1, 32, 32), dtype=np.float32)
    with torch.no_grad():
        expected = classifier.model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(load_engine(engine, artifact, 2, 1).run(x)[0], expected, rtol=1e-4, atol=1e-5)
    for made, dtype in ((uint8, np.uint8), (taps, np.float32)):  # the others against ONNX Runtime, proved elsewhere
        artifact = Artifact(made.exported.path)
        x = random.integers(0, 200, artifact.shape(1)).astype(dtype)
        found = load_engine(engine, artifact, 1, 1).run(x)
        for ours, theirs in zip(found, load_engine("ort", artifact, 1, 1).run(x), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.slow
@pytest.mark.parametrize("engine", engine_list.COMPILED)
def test_compiled_engines_put_out_what_the_module_does(engine: str, classifier) -> None:
    artifact = Artifact(classifier.exported.path)
    if reason := engine_list.obstacle(engine, artifact):
        pytest.skip(reason)
    x = np.random.default_rng(4).standard_normal((2, 1, 32, 32), dtype=np.float32)
    with torch.no_grad():
        expected = classifier.model(torch.from_numpy(x)).numpy()
    session = load_engine(engine, artifact, 2, 1)
    for image, wanted in ((x, expected), (x[::-1].copy(), expected[::-1])):
        np.testing.assert_allclose(session.run(image)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_bench_ranks_what_ran_and_says_why_others_did_not(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_list.shutil, "which", lambda name: None)
    found = bench(
        Artifact(classifier.exported.path), ("eager", "compile", "ort"), threads=1, batches=(1, 2), seconds=0.01
    )
    assert [(row.engine, row.batch) for row in found.rows] == [
        (engine, batch) for batch in (1, 2) for engine in ("eager", "compile", "ort")
    ]
    for row in found.rows:
        if row.engine == "compile":
            assert "compiler" in row.problem and row.timing is None
        else:
            assert row.timing is not None and row.timing.rounds >= ROUNDS * BURST and row.error < 1e-4
    assert found.best(1) == min((r for r in found.rows if r.batch == 1 and r.timing), key=lambda r: r.latency_ms)
    told = found.to_mapping()
    assert told["best"]["2"] == found.best(2).engine
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_memory_does_not_depend_on_the_order(tmp_path: Path) -> None:
    model = otoyol.nn.build("custom@depths=2,widths=768,input=3x8x8,head=3").eval()
    held = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    assert held > 70e6  # much more than a process grows by of itself
    artifact = Artifact(export_onnx(model, tmp_path / "model.onnx").path)
    rows: dict[str, list[int]] = {"eager": [], "ort": []}
    for order in (("eager", "ort"), ("ort", "eager")):
        for row in bench(artifact, order, threads=1, batches=(1,), seconds=0.01).rows:
            rows[row.engine].append(row.grown_bytes or 0)
    for first, second in rows.values():
        assert min(first, second) > 0.8 * held  # weights live somewhere, whoever comes first
        assert abs(first - second) < 0.5 * held


def test_an_engine_with_other_outputs_never_wins(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from otoyol.deploy import bench as benching

    class Wrong:
        def run(self, image: np.ndarray) -> list[np.ndarray]:
            return [np.ones((len(image), 10), dtype=np.float32)]

    real = benching.load_engine
    monkeypatch.setattr(benching, "load_engine", lambda name, *rest: Wrong() if name == "ort" else real(name, *rest))
    found = bench(Artifact(classifier.exported.path), ("eager", "ort"), threads=1, batches=(1,), seconds=0.01)
    assert found.rows[1].latency_ms < found.rows[0].latency_ms  # it would have won
    assert "differ" in found.rows[1].problem
    assert found.best(1).engine == "eager"


def test_a_race_counts_all_but_the_first_run_of_a_burst() -> None:
    now, calls = [0.0], {"slow": 0, "fast": 0}

    def runner(name: str, seconds: float):
        def run(image: np.ndarray) -> None:
            calls[name] += 1
            now[0] += seconds * (10 if calls[name] % (BURST + 1) == 1 else 1)  # the first of a burst is cold

        return run

    found = race({"slow": runner("slow", 2.0), "fast": runner("fast", 1.0)}, np.zeros(1), 1e-9, clock=lambda: now[0])
    assert calls == {"slow": ROUNDS * (BURST + 1), "fast": ROUNDS * (BURST + 1)}
    assert found["slow"] == Timing(2.0, 0.0, ROUNDS * BURST)
    assert found["fast"] == Timing(1.0, 0.0, ROUNDS * BURST)


@pytest.fixture
def artifact(tmp_path: Path, classifier) -> Path:
    path = tmp_path / "model.onnx"
    shutil.copy(classifier.exported.path, path)
    return path


def raced(path: Path) -> Bench:
    rows = (Row("openvino", 1, Timing(0.002, 0.1, 15)), Row("ort", 1, Timing(0.003, 0.1, 15)),
            Row("openvino", 8, Timing(0.02, 0.1, 15)), Row("ort", 8, Timing(0.01, 0.1, 15)))  # fmt: skip
    return Bench(path, Artifact(path).digest, 1, processor(), cores(), "eager", rows)


def test_the_winner_is_chosen_by_batch(artifact: Path) -> None:
    assert choose(artifact).engine == "ort" and "nobody" in choose(artifact).why
    assert keeping.save(Best.of(raced(artifact)), artifact).name == "model.best.json"
    assert choose(artifact, 1) == ("openvino", 1, "")
    assert choose(artifact, 6) == ("ort", 1, "")


def with_compile(path: Path) -> Bench:
    """A race that torch.compile has won at batch 1, and lost at batch 8."""
    found = raced(path)
    return found._replace(rows=(*found.rows, Row("compile", 1, Timing(0.001, 0.1, 15)),
                                Row("compile", 8, Timing(0.05, 0.1, 15))))  # fmt: skip


def test_what_compiles_at_every_start_is_never_kept(artifact: Path) -> None:
    found = with_compile(artifact)
    assert (found.best(1).engine, found.best(1, at_once=True).engine) == ("compile", "openvino")
    assert {row.engine for row in Best.of(found).winners} == {"openvino", "ort"}
    assert (found.to_mapping()["best"], found.to_mapping()["best_at_once"]) == (
        {"1": "compile", "8": "ort"}, {"1": "openvino", "8": "ort"},
    )  # fmt: skip
    told = telling._told(found, artifact, "en")
    assert told[1:] == ["At batch 1 compile was faster, but it compiles at every start: otoyol run will use openvino."]
    with pytest.raises(OtoyolError, match="starts at once"):
        Best.of(found._replace(rows=found.rows[-2:]))


@pytest.mark.parametrize("engine", ["compile", "eager", "openvino"])
def test_a_winner_that_cannot_run_here_is_fallen_back_from(
    engine: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = {"batch": 1, "engine": engine, "version": engine_list.version(engine), "latency_ms": 1.0, "spread": 0.0}
    fields = Best.of(raced(artifact)).model_dump(mode="json") | {"winners": [winner]}
    keeping.place_of(artifact).write_text(json.dumps(fields))
    if engine != "compile":
        assert choose(artifact) == choose(Artifact(artifact)) == (engine, 1, "")
        monkeypatch.setattr(keeping, "obstacle", lambda name, given: f"{name} is broken")
    choice = choose(artifact)
    assert (choice.engine, choice.threads) == ("ort", 0)
    why = "it compiles at every start" if engine == "compile" else f"{engine} is broken"
    assert choice.why == f"{engine} was the fastest, but {why}"


def test_without_huge_pages_their_winner_runs_in_others(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = "openvino-hugepages"
    winner = {"batch": 1, "engine": engine, "version": engine_list.version(engine), "latency_ms": 1.0, "spread": 0.0}
    fields = Best.of(raced(artifact)).model_dump(mode="json") | {"winners": [winner]}
    keeping.place_of(artifact).write_text(json.dumps(fields))
    monkeypatch.setattr(huge_pages, "obstacle", lambda: "there are none")
    assert choose(artifact) == ("openvino", 1, f"{engine} was the fastest, but there are none")
    monkeypatch.setattr(keeping, "obstacle", lambda name, given: f"{name} is broken")
    assert choose(artifact)[:2] == ("ort", 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"processor": "Another"}, "the processor was Another"),
        ({"cores": 4096}, "the number of cores was 4096"),
        ({"sha256": "0" * 64}, "the file was 000000000000"),
        ({"winners": ({"batch": 1, "engine": "openvino", "version": "1.0", "latency_ms": 1.0, "spread": 0.0},)},
         "the version of openvino was 1.0"),
    ],
)  # fmt: skip
def test_a_winner_from_elsewhere_is_not_believed(artifact: Path, change: dict, told: str) -> None:
    fields = Best.of(raced(artifact)).model_dump(mode="json") | change
    keeping.place_of(artifact).write_text(json.dumps(fields))
    choice = choose(artifact)
    assert (choice.engine, choice.threads) == ("ort", 0)
    assert told in choice.why


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_damaged_record_is_refused(artifact: Path, text: str) -> None:
    keeping.place_of(artifact).write_text(text)
    with pytest.raises(SpecError, match="best"):
        choose(artifact)


def test_no_winner_without_an_engine(artifact: Path) -> None:
    with pytest.raises(OtoyolError, match="no engine"):
        Best.of(raced(artifact)._replace(rows=(Row("ort", 1, problem="broken"),)))


def test_a_race_that_nobody_may_win_is_still_told(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(artifact), "--engines", "compile", "--batches", "1", "--seconds", "0.01", "--best", "--json"]
    assert command(words) == 2
    told, err = capsys.readouterr()
    assert [row["engine"] for row in json.loads(told)["rows"]] == ["compile"] and "no engine that starts at once" in err


def test_a_record_that_cannot_be_written_is_refused_before_the_race(
    artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping.place_of(artifact).mkdir()
    monkeypatch.setattr("otoyol.deploy.bench.bench", lambda *_, **__: pytest.fail("raced in vain"))
    assert command(["bench", str(artifact), "--engines", "ort", "--best"]) == 2
    assert keeping.place_of(artifact).name in capsys.readouterr().err


def test_what_cannot_be_loaded_is_refused(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = Artifact(classifier.exported.path)
    with pytest.raises(SpecError, match="engine"):
        load_engine("fast", artifact, 1, 1)
    for field, given in (("batch", {"batches": (0,)}), ("threads", {"threads": 0}), ("seconds", {"seconds": 0.0})):
        with pytest.raises(SpecError, match=field):
            bench(artifact, ("ort",), **given)
    monkeypatch.setattr(engine_list, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"otoyol\[deploy\]"):
        load_engine("openvino", artifact, 1, 1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "grey.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    return path


def test_images_are_prepared_as_in_training(classifier, picture: Path) -> None:
    from PIL import Image

    from otoyol.data.images import prepared
    from otoyol.spec import Input

    metadata = Artifact(classifier.exported.path).metadata
    with Image.open(picture) as opened:
        expected = prepared(opened, Input(channels=1, height=32, width=32), "grey")
    np.testing.assert_allclose(prepare(picture, metadata).array[0], expected.numpy(), atol=1e-6)


def test_otoyol_run_tells_classes(
    artifact: Path, picture: Path, classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["run", str(artifact), str(picture), "--json", "--lang", "en"]) == 0
    out, err = capsys.readouterr()
    assert "nobody has raced" in err  # the engine was not measured here, and that is said
    told = json.loads(out)
    x = prepare(picture, Artifact(artifact).metadata).array
    with torch.no_grad():
        chances = classifier.model(torch.from_numpy(x)).softmax(1)[0]
    best = told["images"][0]["classes"]
    assert (told["engine"], len(best)) == ("ort", 3)
    assert best[0]["class"] == f"digit {int(chances.argmax())}"
    assert best[0]["probability"] == pytest.approx(float(chances.max()), rel=1e-4)
    keeping.save(Best.of(raced(artifact)), artifact)
    assert command(["run", str(artifact), str(picture), "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["engine"], err) == ("openvino", "")
    assert command(["run", str(artifact), str(artifact)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_bench_is_believed_by_run(artifact: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--engines", "eager,ort", "--batches", "1", "--threads", "1", "--seconds", "0.01", "--lang", "en"]
    assert command(["bench", str(artifact), *words, "--best"]) == 0
    out = capsys.readouterr().out
    kept = keeping.load(artifact)
    assert kept is not None and len(kept.winners) == 1
    winner = kept.winners[0].engine
    assert f"Fastest at batch 1: {winner}." in out and str(keeping.place_of(artifact)) in out.replace("\n", "")
    assert command(["run", str(artifact), str(picture), "--json", "--lang", "en"]) == 0
    told, err = capsys.readouterr()
    assert (json.loads(told)["engine"], err) == (winner, "")
    assert json.loads(told)["images"][0]["classes"][0]["class"].startswith("digit ")
