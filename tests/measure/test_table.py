"""Tables on disk: written whole, read back, refused where they do not belong."""

from __future__ import annotations

import errno
import json
import os

import pytest
from _fake import Fake

from otoyol.errors import OtoyolError, SpecError
from otoyol.measure import Table, build_table, fingerprint, load_table, random_designs
from otoyol.measure.table import timing

SMALL = {"inputs": ("3x32x32", "3x48x48"), "max_macs": 1e8, "min_macs": 1e5}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    engine, path = Fake(), tmp_path_factory.mktemp("table") / "t.json"
    return build_table(engine, random_designs(20, **SMALL), path=path, clock=engine.clock, seconds=1e9), path


def test_a_saved_table_reads_back(made):
    table, path = made
    again = load_table(path, fingerprint(Fake()))
    assert again.finished and again.operators == table.operators
    assert [n.spec for n in again.networks] == [n.spec for n in table.networks]
    for ours, theirs in zip(again.networks, table.networks, strict=True):
        assert ours.steps == theirs.steps
        assert ours.seconds == pytest.approx(theirs.seconds, abs=1e-7)
        assert ours.whole.seconds == pytest.approx(theirs.whole.seconds, abs=1e-7)
    assert json.loads(path.read_text())["fingerprint"]["engine"] == "fake"


def test_timings_are_medians_with_their_spread():
    # 1…5: quartiles 2, 3, 4 by linear interpolation
    assert timing([5, 1, 3, 2, 4]) == (3, pytest.approx(2 / 3), 5)
    assert timing([1.0, 1.01, 0.99]).noisy is False
    assert timing([1.0, 1.5, 1.0, 1.4]).noisy is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("processor", "another processor"),
        ("threads", 8),
        ("versions", {"fake": "2.0"}),
        ("engine", "ort"),
        ("batch", 8),
    ],
)
def test_a_table_from_elsewhere_is_refused(made, tmp_path, key, value):
    fields = json.loads(made[1].read_text())
    fields["fingerprint"][key] = value
    path = tmp_path / "t.json"
    path.write_text(json.dumps(fields))
    before = path.read_bytes()
    with pytest.raises(SpecError, match=f"table.{key}: got .*allowed: .*measure again"):
        load_table(path, fingerprint(Fake()))
    with pytest.raises(SpecError, match=f"table.{key}"):
        build_table(Fake(), random_designs(5, **SMALL), path=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 99}', "\ud800", "[" * 100_000])
def test_a_damaged_table_is_one_sentence(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SpecError, match="table: got"):
        load_table(path)


def test_a_damaged_step_is_noticed(made, tmp_path):
    fields = json.loads(made[1].read_text())
    fields["networks"][0]["steps"][0] = 10**6
    path = tmp_path / "t.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(SpecError, match="damaged"):
        load_table(path)
    with pytest.raises(SpecError, match="a readable file"):
        load_table(tmp_path / "absent.json")


def test_a_full_disk_leaves_the_old_table(made, tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    path.write_bytes(made[1].read_bytes())
    before = path.read_bytes()
    real = os.fdopen

    class Full:
        def __init__(self, handle, *rest):
            self.file = real(handle, *rest)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", Full)
    with pytest.raises(OtoyolError, match=r"cannot write .*No space left"):
        Table(fingerprint(Fake())).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.json"]
