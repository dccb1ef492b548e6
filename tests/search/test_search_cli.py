"""otoyol search as its users meet it: the front as a file, a full disk, Ctrl-C, budgets that nothing meets, scores."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from otoyol.cli.main import run
from otoyol.cost import count
from otoyol.search import stream
from otoyol.spec import parse

SPACE = {
    "base": "cifar_resnet20",
    "choices": {"block": ["basic", "bottleneck-v2"]},
    "depths": {"low": 1, "high": 3},
    "widths": {"low": 8, "high": 24, "multiple": 8},
}
WORDS = ["--budget", "macs<=12M", "--minimize", "params", "--maximize", "macs"]


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("OTOYOL_LANG", "en")


@pytest.fixture
def space(tmp_path):
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    return ["search", "--space", str(tmp_path / "space.json")]


def test_the_front_as_a_file_is_what_json_prints(space, tmp_path, capsys):
    out = tmp_path / "front.json"
    assert run([*space, *WORDS, "--every", "--out", str(out), "--json"]) == 0
    assert out.read_text() == capsys.readouterr().out
    designs = json.loads(out.read_text())["designs"]
    for design in designs:
        assert count(parse(design["spec"])).macs == design["macs"] <= 12e6
        assert count(parse(design["spec"])).params == design["params"]
    assert [d["macs"] for d in designs] == sorted((d["macs"] for d in designs), reverse=True)


@pytest.mark.parametrize("option", ["--out", "--state"])
@pytest.mark.parametrize("call", ["write", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(space, tmp_path, capsys, monkeypatch, option, call):
    kept = tmp_path / "kept.json"
    assert run([*space, *WORDS, "--count", "500", option, str(kept)]) == 0
    before = kept.read_bytes()
    capsys.readouterr()

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        opened = os.fdopen

        class Full:
            def __init__(self, handle):
                self.file = opened(handle, "wb")

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def write(self, data):
                self.file.write(data[:7])
                full()

        monkeypatch.setattr(os, "fdopen", lambda handle, _mode: Full(handle))
    assert run([*space, *WORDS, "--count", "500", option, str(kept)]) == 2
    monkeypatch.undo()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"otoyol: cannot write {kept}: No space left on device\n"
    assert kept.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "space.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output(space):
    command = [sys.executable, "-m", "otoyol", *space, *WORDS, "--count", "500"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "otoyol: No space left on device\n"


def test_a_place_that_cannot_be_written_is_told_before_searching(space, tmp_path, capsys):
    for place in (tmp_path / "none" / "front.json", tmp_path):
        assert run([*space, *WORDS, "--count", str(10**12), "--out", str(place)]) == 2
        assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--budget", "macs<=1G", "--budget", "macs>=2G"], ["macs<=1G", "macs>=2G", "some design"]),
        (["--budget", "macs<=1G@b1"], ["macs@b1", "latency_ms"]),
        (["--budget", "latency_ms<=5"], ["latency_ms", "--table"]),
        (["--minimize", "flops"], ["flops", "macs"]),
        (["--score", "luck"], ["luck", "synflow"]),
    ],
)
def test_what_is_refused(space, capsys, words, parts):
    assert run([*space, "--minimize", "params", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_an_empty_space_is_refused_with_its_reason(tmp_path, capsys):
    (tmp_path / "space.json").write_text(json.dumps({**SPACE, "choices": {"groups": ["5"]}}))
    assert run(["search", "--space", str(tmp_path / "space.json"), *WORDS]) == 2
    assert "at least one that can be built" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["--budget", "params<=1"], "No design seen meets params<=1."),
        ({}, ["--budget", "params<=6k", "--budget", "macs>=12M"], "none seen meets all of them together"),
        ({"choices": {"groups": ["8"], "block": ["bottleneck"]}, "base": "cifar_resnet20@widths=16-32-64",
          "widths": {"low": 9, "high": 9}}, [], "None of these designs can be built"),
    ],
)  # fmt: skip
def test_an_empty_front_says_whose_fault_it_is(tmp_path, capsys, change, words, said):
    (tmp_path / "space.json").write_text(json.dumps({**SPACE, **change}))
    command = ["search", "--space", str(tmp_path / "space.json"), "--every", "--minimize", "params", *words]
    assert run(command) == 1
    assert said in capsys.readouterr().out


def test_ctrl_c_keeps_what_was_found(space, tmp_path):
    """A real interrupt of a real process, amid a search that would take days; then another process goes on."""
    out, state = tmp_path / "front.json", tmp_path / "state.json"
    command = [sys.executable, "-m", "otoyol", *space, *WORDS, "--count", str(10**12), "--out", str(out), "--state",
               str(state), "--json"]  # fmt: skip
    seen = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = state.stat().st_mtime_ns if state.exists() else 0
        until = time.monotonic() + 120
        while not (state.exists() and state.stat().st_mtime_ns > before) and time.monotonic() < until:
            time.sleep(0.1)  # saved once: the search is under way
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors
        assert json.loads(printed) == json.loads(out.read_text())
        found = json.loads(printed)
        assert not found["finished"] and found["designs"]
        # Structures take turns by chunks of 16,384, so whatever was kept is whole chunks.
        assert found["seen"] % 16_384 == 0
        seen.append(found["seen"])
    assert seen[1] > seen[0] > 0


def stop_after(monkeypatch, chunks):
    """Ctrl-C while a later chunk is costed."""
    take, left = stream._Run.take, [chunks]

    def stopping(self, chunk, done):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return take(self, chunk, done)

    monkeypatch.setattr(stream._Run, "take", stopping)


@pytest.mark.parametrize("named", [False, True])
def test_resume_goes_on_to_the_same_end(space, tmp_path, capsys, monkeypatch, named):
    """From the state beside --out, which is gone when the front is there; or from --state, which stays."""
    whole, out = tmp_path / "whole.json", tmp_path / "front.json"
    state = tmp_path / "named.json" if named else tmp_path / "front.json.state"
    assert run([*space, *WORDS, "--count", "60000", "--out", str(whole)]) == 0
    command = [*space, *WORDS, "--count", "60000", "--out", str(out), *(["--state", str(state)] if named else [])]
    capsys.readouterr()
    assert run([*command, "--resume"]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("otoyol: resume: got ") and refusal.count("\n") == 1
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert run(command) == 130
    assert "--resume" in capsys.readouterr().out
    half = json.loads(out.read_text())
    assert not half["finished"] and half["seen"] == 2 * 16_384 and state.exists()
    assert run([*command, "--resume", "--batch", "2"]) == 2
    with monkeypatch.context() as patch:  # of four chunks two are left: the third would stop it
        stop_after(patch, 2)
        assert run([*command, "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert state.exists() == named
    if not named:
        state.write_text("of something else")
        assert run(command) == 0  # begins anew
        assert out.read_bytes() == whole.read_bytes() and not state.exists()


def test_resume_needs_a_place(space, capsys):
    assert run([*space, *WORDS, "--resume"]) == 2
    assert "resume: got neither --out nor --state" in capsys.readouterr().err


def test_figures_are_for_the_batch(space, capsys):
    command = [*space, "--minimize", "training_bytes", "--maximize", "macs", "--every"]
    command += ["--batch", "64", "--dtype", "bfloat16", "--budget", "training_bytes<=32Mi"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["batch"], found["dtype"]) == (64, "bfloat16") and found["designs"]
    for design in found["designs"]:
        counted = count(parse(design["spec"]), batch=64, dtype="bfloat16")
        assert (design["train_bytes"], design["macs"]) == (counted.train_bytes, counted.macs)
        assert counted.train_bytes <= 32 * 2**20
    assert run(command) == 0
    assert "figures are for 64 images in bfloat16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["--seed", "-1"], "seed: got -1; allowed: 0 or more"),
        (["--batch", "0"], "batch: got 0; allowed: a whole number from 1 to 1048576"),
    ],
)
def test_impossible_numbers_are_one_sentence(space, capsys, words, refusal):
    assert run([*space, *WORDS, *words]) == 2
    assert capsys.readouterr().err == f"otoyol: {refusal}\n"


def test_a_thinned_front_says_so(tmp_path, capsys):
    """Designs of the same depths have the same layers: 20,000 draws are as many equals, and 1,024 have room."""
    (tmp_path / "space.json").write_text(
        json.dumps({"base": "resnet18", "widths": {"low": 8, "high": 512, "multiple": 8}})
    )
    command = ["search", "--space", str(tmp_path / "space.json"), "--maximize", "depth", "--count"]
    assert run([*command, "20000"]) == 0
    page = capsys.readouterr().out
    assert "1,024 on the Pareto front" in page and "outgrew its memory" in page
    assert run([*command, "500"]) == 0
    assert "outgrew" not in capsys.readouterr().out


def test_images_that_cannot_be_read_are_told_before_searching(space, tmp_path, capsys):
    command = [*space, *WORDS, "--count", str(10**12), "--score", "synflow", "--out", str(tmp_path / "front.json")]
    assert run([*command, "--data", str(tmp_path / "nosuch")]) == 2
    assert "nosuch" in capsys.readouterr().err
    assert not (tmp_path / "front.json").exists()


def test_ctrl_c_while_scoring_keeps_the_front(space, tmp_path, capsys, monkeypatch):
    out = tmp_path / "front.json"
    command = [*space, *WORDS, "--every", "--out", str(out)]
    assert run(command) == 0
    unscored = out.read_bytes()
    out.unlink()

    def stop(*_arguments, **_options):
        assert out.read_bytes() == unscored  # written before scoring
        raise KeyboardInterrupt

    capsys.readouterr()
    monkeypatch.setattr("otoyol.proxy.score", stop)
    assert run([*command, "--score", "synflow", "--data", "random"]) == 130
    assert out.read_bytes() == unscored
    page = capsys.readouterr().out
    assert "without scores" in page and "cifar_resnet20" in page
    monkeypatch.undo()
    monkeypatch.setenv("OTOYOL_LANG", "en")
    assert run([*command, "--budget", "params<=10k", "--score", "synflow", "--data", "random"]) == 0
    found = json.loads(out.read_text())
    assert found["designs"] and all("synflow" in design["scores"] for design in found["designs"])


@pytest.mark.parametrize("stopped", [False, True])
def test_the_progress_line_is_gone_in_the_end(tmp_path, capsys, monkeypatch, stopped):
    """Most draws of a RegNet space are dropped, so that what is seen never reaches the total."""
    regnet = {"depth": {"low": 5, "high": 9}, "w0": {"low": 8, "high": 32}, "wa": [8, 32], "wm": [2, 3]}
    (tmp_path / "space.json").write_text(json.dumps({"base": "cifar_resnet20", "regnet": regnet}))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    if stopped:
        stop_after(monkeypatch, 1)
    command = ["search", "--space", str(tmp_path / "space.json"), "--minimize", "macs", "--count", "40000"]
    assert run(command) == (130 if stopped else 0)
    shown = capsys.readouterr().err
    assert "on the front" in shown and shown.endswith("\r\x1b[K")


def test_scores_of_the_front_alone(space, tmp_path, capsys):
    command = [*space, "--budget", "macs<=4M", "--minimize", "params", "--maximize", "macs", "--every"]
    command += ["--data", "random", "--score", "synflow", "--score", "highway"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["designs"]
    for design in found["designs"]:
        assert set(design["scores"]) == {"synflow", "highway"}
        assert all(math.isfinite(value) for value in design["scores"].values())
    assert "Tanaka" in found["scores"]["synflow"]
    assert run(command) == 0
    page = capsys.readouterr().out
    assert "synflow" in page and "Tanaka et al. 2020" in page and "one budget" in page


def test_a_search_without_scores_and_tables_loads_neither_torch_nor_measure(space):
    code = (
        "import sys; from otoyol.cli.main import run; run(sys.argv[1:]);"
        "print([name for name in ('torch', 'sklearn', 'otoyol.measure') if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *space, *WORDS, "--count", "100"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr.strip() == "[]"


def test_a_front_is_scored_on_as_many_images_as_there_are(tmp_path):
    from otoyol.proxy import batch_for

    for number in range(8):
        (place := tmp_path / "train" / f"c{number % 2}").mkdir(parents=True, exist_ok=True)
        (test := tmp_path / "test" / f"c{number % 2}").mkdir(parents=True, exist_ok=True)
        for folder in (place, test):
            Image.new("RGB", (8, 8), (30 * number, 0, 9)).save(folder / f"{number}.png")
    images, labels = batch_for(parse("cifar_resnet20@input=3x8x8,head=2"), str(tmp_path))
    assert images.shape == (8, 3, 8, 8) and len(labels) == 8
