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

from otoyol.cli.main import run
from otoyol.cost import count
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
