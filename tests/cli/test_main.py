"""The command line as its users meet it: verbs, output for terminals, pipes and programs, exit statuses."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import otoyol
from otoyol.cli.main import VERBS, run
from otoyol.cli.words import language
from otoyol.explain.text import catalogue, chapter
from otoyol.spec import FAMILIES, family

OTOYOL = (sys.executable, "-m", "otoyol")
QUIET = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent"}


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTOYOL_LANG", "LC_ALL", "LC_MESSAGES", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """Standard output of a command that says nothing on standard error."""
    assert run(words) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out


def data(capsys: pytest.CaptureFixture[str], *words: str) -> object:
    return json.loads(said(capsys, *words, "--json"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on standard error of a command that leaves with status 2 and prints nothing else."""
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("otoyol: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


# --- what programs read ---------------------------------------------------------------------------------------------


def test_cost_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    cost = data(capsys, "cost", "resnet50")
    # torchvision's ResNet50_Weights.meta["num_params"]; MACs and activations of pycls's model zoo and DESIGN.
    assert cost["params"] == 25_557_032
    assert cost["macs"] == 4_089_184_256
    assert cost["activations"] == 11_114_984
    assert (cost["spec"], cost["input"], cost["convention"]) == ("resnet50", [3, 224, 224], "paper")
    assert [stage["depth"] for stage in cost["stages"]] == [3, 4, 6, 3]
    parts = [*cost["stages"], *cost["outside"].values()]
    for quantity in ("params", "macs", "activations", "train_bytes"):
        assert sum(part[quantity] for part in parts) == cost[quantity]
    assert cost["weight_bytes"] == 4 * cost["params"]


@pytest.mark.parametrize(
    ("convention", "macs"),
    [
        ("fvcore", 4_111_512_576),  # fvcore.nn.FlopCountAnalysis(torchvision.models.resnet50(), rand(1, 3, 224, 224))
        ("thop", 4_133_742_592),
        ("ptflops-aten", 4_089_185_256),
        ("flopcounter", 4_089_184_256),  # 8,178,368,512 FLOPs
    ],
)
def test_cost_in_a_tools_convention(convention: str, macs: int, capsys: pytest.CaptureFixture[str]) -> None:
    cost = data(capsys, "cost", "resnet50", "--convention", convention)
    assert (cost["macs"], cost["convention"]) == (macs, convention)
    assert f"{macs:,}" in said(capsys, "cost", "resnet50", "--convention", convention).replace(
        "8,178,368,512", f"{macs:,}"
    )


def test_a_tool_s_figure_is_of_the_batch_too(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("cost", "resnet50", "--convention", "fvcore", "--batch", "8")
    assert data(capsys, *words)["macs"] == 8 * 4_111_512_576
    assert f"{8 * 4_111_512_576:,}" in said(capsys, *words)


def test_cost_of_a_batch_in_half_precision(capsys: pytest.CaptureFixture[str]) -> None:
    one = data(capsys, "cost", "resnet18")
    eight = data(capsys, "cost", "resnet18", "--batch", "8", "--dtype", "float16")
    assert eight["macs"] == 8 * one["macs"]
    assert eight["params"] == one["params"]
    assert 2 * eight["weight_bytes"] == one["weight_bytes"]
    assert (eight["batch"], eight["dtype"]) == (8, "float16")


@pytest.mark.parametrize("by", ["op", "slot", "block", "stage", "class"])
def test_cost_by_parts_adds_up(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    cost = data(capsys, "cost", "seresnet50", "--by", by)
    parts = cost["by"].values() if by != "stage" else [*cost["stages"], *cost["outside"].values()]
    assert sum(part["macs"] for part in parts) == cost["macs"]
    assert sum(part["params"] for part in parts) == cost["params"]


def test_every_tool_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["convention"]: row for row in data(capsys, "cost", "resnet50", "--convention", "all")}
    assert rows["torchinfo"]["operations"] == 4_089_238_376
    assert rows["flopcounter"]["unit"] == "FLOPs"
    for row in rows.values():
        assert row["difference"] == sum(part["amount"] for part in row["parts"])
        assert row["operations"] - row["difference"] == 4_089_184_256
    text = said(capsys, "cost", "resnet50", "--convention", "all")
    assert all(name in text for name in rows)


def test_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    shown = data(capsys, "show", "resnet50")
    # He et al. 2015, Table 1, and the receptive fields of a v1.5 network by hand (Araujo et al. 2019, Eq. 2).
    assert [(tap["name"], tap["channels"], tap["stride"], tap["receptive_field"]) for tap in shown["taps"]] == [
        ("C1", 64, 2, 7), ("C2", 256, 4, 35), ("C3", 512, 8, 91), ("C4", 1024, 16, 267), ("C5", 2048, 32, 427),
    ]  # fmt: skip
    assert shown["params"] == 25_557_032
    assert data(capsys, "show", "resnetv1_50")["taps"][-1]["receptive_field"] == 483
    assert otoyol.spec.from_mapping(shown["fields"]) == family("resnet50")


def test_families_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = data(capsys, "families")
    assert {row["family"] for row in rows} == set(FAMILIES)
    assert [row["family"] for row in data(capsys, "families", "wide_")] == ["wide_resnet50_2", "wide_resnet101_2"]


def test_compare_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = data(capsys, "compare", "resnet50", "resnetv2_50")
    assert (first["spec"], second["spec"]) == ("resnet50", "resnetv2_50")
    assert (first["open_blocks"], second["open_blocks"], second["longest_open_run"]) == (0, 12, 5)


def test_why_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    answers = data(capsys, "why", "all", "resnet50")
    assert [answer["question"] for answer in answers] == [
        "bottleneck", "expansion", "preact", "projection", "attention", "highway",
    ]  # fmt: skip
    assert data(capsys, "why", "bottleneck", "resnet50")["headline"].count("1,179,648") == 1


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "schema"))["required"] == ["stages"]


# --- what people read -----------------------------------------------------------------------------------------------


def test_a_pipe_gets_plain_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "resnet50")
    assert not re.search(r"[\x1b\u2500-\u257f]", text)  # no colour, no boxes
    lines = [line for line in text.splitlines() if re.match(r"C\d", line)]
    assert len({len(line) for line in lines}) == 1
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_lines_break_where_columns_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    paragraphs = said(capsys, "why", "preact", "resnet50").split("\n\n")[:4]
    assert max(len(line) for paragraph in paragraphs for line in paragraph.splitlines()) <= 60


def on_a_terminal(*words: str, **environment: str) -> str:
    """What the command prints where standard output is a terminal."""
    here, there = pty.openpty()
    process = subprocess.Popen([*OTOYOL, *words], stdout=there, stdin=there, stderr=subprocess.PIPE,
                               env={**QUIET, "TERM": "xterm-256color", **environment})  # fmt: skip
    os.close(there)
    text = b""
    while True:
        try:
            piece = os.read(here, 65536)
        except OSError:  # how Linux ends a terminal
            break
        if not piece:
            break
        text += piece
    os.close(here)
    assert process.wait() == 0
    return text.decode()


def test_a_terminal_gets_tables_and_no_color_is_honoured() -> None:
    text = on_a_terminal("cost", "resnet18", COLUMNS="72")
    assert "\x1b[" in text
    assert "─" in text
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.replace("\r", "").split("\n")) <= 72
    plain = on_a_terminal("cost", "resnet18", COLUMNS="72", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3\dm", plain)


def test_turkish(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "25.557.032" in said(capsys, "cost", "resnet50", "--lang", "tr")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    assert "alıcı alan" in said(capsys, "show", "resnet50")
    assert "receptive field" in said(capsys, "show", "resnet50", "--lang", "en")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "tr_TR.UTF-8"}, "tr"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "tr_TR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "OTOYOL_LANG": "tr"}, "tr"),
        ({"LANG": "tr_TR.UTF-8", "OTOYOL_LANG": "en"}, "en"),
    ],
)
def test_the_language_of_the_environment(environment: dict[str, str], expected: str) -> None:
    assert language(None, environment) == expected
    assert language("tr", environment) == "tr"


def test_every_verb_helps_in_both_languages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tongue in ("en", "tr"):
        monkeypatch.setenv("OTOYOL_LANG", tongue)
        overview = " ".join(said(capsys, "--help").split())
        for verb in VERBS:
            summary = " ".join(catalogue(tongue)[f"cli.help.{verb}"].split())
            assert summary in overview
            assert summary in " ".join(said(capsys, verb, "--help").split())


def test_no_word_of_the_command_line_is_idle() -> None:
    """Every [cli] sentence is asked for somewhere in the package."""
    package = Path(otoyol.__file__).parent
    source = "".join(
        path.read_text() for folder in ("cli", "design", "data/check") for path in (package / folder).glob("*.py")
    )
    keys = [key.removeprefix("cli.") for key in catalogue("en") if key.startswith("cli.")]
    composed = ("help.", "class.", "title.by.", "head.", "trials.", "score.", "memory.", "design.step.", "data.")
    for key in keys:
        name = key.rpartition(".")[2]
        assert f'"{key}"' in source or (key.startswith(composed) and re.search(rf"\b{name}\b", source)) or (
            key.startswith("option.") and f'option("{name}"' in source
        ) or key.startswith("class."), key  # fmt: skip


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version").strip() == otoyol.__version__


# --- specs from everywhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
def test_a_design_is_written_out_and_read_back(form: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "resnet50@block=bottleneck-v2,stage3.attention=cbam,expansion=3/2"
    path = tmp_path / f"net.{form}"
    path.write_text(said(capsys, "show", text, "--format", form))
    assert said(capsys, "show", str(path), "--format", "text").strip() == otoyol.to_text(otoyol.parse(text))
    assert data(capsys, "cost", str(path)) == data(capsys, "cost", text)


@pytest.mark.parametrize("form", ["text", "yaml", "json"])
def test_a_design_from_standard_input(form: str) -> None:
    written = subprocess.run([*OTOYOL, "show", "resnet26d", "--format", form], capture_output=True, check=True).stdout
    again = subprocess.run([*OTOYOL, "show", "-", "--format", "text"], input=written, capture_output=True, check=True)
    assert again.stdout.decode() == "resnet26d\n"
    assert again.stderr == b""


def test_a_design_of_another_name_still_has_a_text_form(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("family: mine\nstages: [{depth: 1, width: 16}]\n")
    text = said(capsys, "show", str(path), "--format", "text").strip()
    assert text == "custom@widths=16"
    assert said(capsys, "show", str(path)).startswith("mine: custom@widths=16\n")


# --- files it writes ------------------------------------------------------------------------------------------------


def test_draw_and_report_write_whole_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["draw", "resnet18"], ["draw", "resnet18", "--what", "block", "--stage", "2", "--block", "2"],
                  ["draw", "resnet18", "--what", "cost"], ["report", "resnet18", "resnet34"]):  # fmt: skip
        path = tmp_path / ("out.html" if words[0] == "report" else "out.svg")
        assert said(capsys, *words, "--out", str(path)) == f"{path}\n"
        assert path.read_text().lstrip().startswith(("<svg", "<?xml", "<!DOCTYPE html>", "<!doctype html>"))
        assert [left.name for left in tmp_path.iterdir()] == [path.name]
        path.unlink()
    assert said(capsys, "draw", "resnet18", "--what", "cost").lstrip().startswith("<svg")
    path = tmp_path / "out.html"
    said(capsys, "report", "resnet18", "--batch", "8", "--dtype", "float16", "--out", str(path))
    assert "8 images of 3×224×224, float16" in path.read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = said(capsys, "completion", shell)
    assert "otoyol" in script
    path = tmp_path / "script"
    assert said(capsys, "--install-completion", "--shell", shell, "--out", str(path)) == f"{path}\n"
    assert path.read_text() == script


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["show", "resnet50@groups=3"], "stage1.groups: got 3; allowed: a divisor"),
        (["show", "resnet5O"], "family: got resnet5O; allowed: a family such as resnet50"),
        (["show", "missing.yaml"], "No such file"),
        (["show"], "SPEC"),
        (["show", "resnet50", "--colour"], "--colour"),
        (["show", "resnet50", "--format", "xml"], "xml"),
        (["show", "resnet50", "--lang", "de"], "de"),
        (["sow", "resnet50"], "show"),
        (["cost", "resnet50", "--batch", "0"], "batch: got 0"),
        (["cost", "resnet50", "--batch", "many"], "many"),
        (["cost", "resnet50", "--convention", "nvidia"], "convention: got nvidia; allowed: one of paper"),
        (["cost", "resnet50", "--dtype", "int3"], "int3"),
        (["why", "not", "resnet50"], "not"),
        (["compare", "resnet50"], "specs: got 1; allowed: two or more"),
        (["draw", "resnet50", "--what", "block", "--stage", "5"], "stage: got 5; allowed: from 1 to 4"),
        (["draw", "resnet50", "--what", "block", "--block", "0"], "block: got 0"),
        (["draw", "resnet50", "-o", "picture.jpg"], ".svg"),
        (["draw", "resnet50", "-o", "/nonexistent/picture.svg"], "cannot write"),
        (["report", "resnet50", "nope", "-o", "report.html"], "family: got nope"),
        (["report", "resnet50", "--batch", "0", "-o", "report.html"], "batch: got 0; allowed: a whole number from 1"),
        (["report", "resnet50", "--batch", "many"], "many"),
        (["report", "resnet50", "--dtype", "int8"], "int8"),
        (["check", "resnet50"], "--against"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], phrase: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert phrase in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_gigabyte_on_disk_or_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    for words, stdin in ((["show", str(path)], None), (["show", "-"], path.open("rb"))):
        result = subprocess.run([*OTOYOL, *words], capture_output=True, text=True, stdin=stdin, check=False)
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(r"otoyol: .*more than 65536 bytes; allowed: at most 65536 bytes\n", result.stderr)
        if stdin:
            stdin.close()


def test_a_missing_extra_says_what_to_install() -> None:
    words = ["check", "resnet18", "--against", "torchvision:resnet18"]
    code = f"import sys; sys.modules['torch'] = None; from otoyol.cli.main import run; sys.exit(run({words}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "otoyol: torch is not installed; install it with: pip install 'otoyol[torch]'\n"


# --- pipes, signals, full disks -------------------------------------------------------------------------------------


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([*OTOYOL, "families"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert result.returncode == -signal.SIGPIPE  # as cat or grep would leave
    assert result.stderr == b""


def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*OTOYOL, "families"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "otoyol: No space left on device\n"


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    fifo = tmp_path / "net.yaml"
    os.mkfifo(fifo)
    process = subprocess.Popen([*OTOYOL, "show", str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer = os.open(fifo, os.O_WRONLY)  # returns when the command has opened it for reading
    process.send_signal(signal.SIGINT)
    assert process.communicate() == (b"", b"")
    assert process.returncode == 130
    os.close(writer)


def test_another_encoding_loses_letters_and_no_more() -> None:
    environment = {**QUIET, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [*OTOYOL, "show", "resnet18", "--lang", "tr"], capture_output=True, env=environment, check=True
    )
    assert b"resnet18" in result.stdout
    assert result.stderr == b""


def test_achapter_of_the_catalogue_is_all_of_its_sentences() -> None:
    for tongue in ("en", "tr"):
        whole = catalogue(tongue)
        for name in {key.partition(".")[0] for key in whole}:
            assert chapter(tongue, name) == {key: text for key, text in whole.items() if key.startswith(f"{name}.")}
