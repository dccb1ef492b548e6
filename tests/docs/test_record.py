"""benchmarks/record.py: what a benchmark prints last is kept, with what is needed to believe it."""

from __future__ import annotations

import json
import subprocess
import sys

from _pages import ROOT

RECORD = ROOT / "benchmarks" / "record.py"


def record(tmp_path, body, *arguments):
    benchmark = tmp_path / "speed.py"
    benchmark.write_text(body)
    process = subprocess.run(
        [sys.executable, RECORD, "--into", tmp_path / "evidence", benchmark, *arguments], capture_output=True, text=True
    )
    return process, tmp_path / "evidence" / "speed.json"


GOOD = "import sys, json\nprint('working')\nprint(json.dumps({'ratio': 1.5, 'given': sys.argv[1:]}))\n"


def test_record_holds_command_date_machine_and_figures(tmp_path):
    process, path = record(tmp_path, GOOD, "--reps", "3")
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("working\n")
    kept = json.loads(path.read_text())
    assert kept["benchmark"] == "speed"
    assert kept["command"] == "python benchmarks/speed.py --reps 3"
    assert kept["figures"] == {"ratio": 1.5, "given": ["--reps", "3"]}
    assert kept["date"].endswith("+00:00")
    assert kept["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert kept["machine"]["cores"] >= 1 and kept["machine"]["processor"]
    assert kept["machine"]["versions"]["otoyol"]


def test_a_failure_leaves_the_earlier_record(tmp_path):
    _, path = record(tmp_path, GOOD)
    before = path.read_text()
    for body in (GOOD + "sys.exit(3)\n", GOOD + "print('done')\n", "print('[1, 2]')\n", ""):
        process, _ = record(tmp_path, body)
        assert process.returncode == 1, body
        assert "nothing is recorded" in process.stderr
        assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]  # and no temporary file


def test_the_evidence_page_shows_every_figure(tmp_path):
    from otoyol_docs.evidence import records

    _, path = record(tmp_path, "import json\nprint(json.dumps({'one': {'macs': 4089184256}, 'ok': True, 'x': 0.25}))")
    english, turkish = (records(lang, str(path.parent)) for lang in ("en", "tr"))
    assert "| `one.macs` | 4,089,184,256 |" in english
    assert "| `one.macs` | 4.089.184.256 |" in turkish
    assert "| `x` | 0.25 |" in english and "| `x` | 0,25 |" in turkish
    assert "| `ok` | True |" in english
