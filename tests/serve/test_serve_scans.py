"""A small JPEG may ask its decoder to go over the whole image thousands of times."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from _artifacts import colours, encoded
from _client import error, send, started
from PIL import Image

from otoyol.serve.scans import FEW, MOST, check_scans, scans

SOS, EOI = b"\xff\xda", b"\xff\xd9"


def progressive(size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(file, "JPEG", progressive=True, quality=50)
    return file.getvalue()


def repeated(data: bytes, times: int) -> bytes:
    """The file with its last scan ``times`` more."""
    start, end = data.rindex(SOS), data.rindex(EOI)
    return data[:end] + data[start:end] * times + data[end:]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with started(colours(tmp_path_factory.mktemp("scans") / "colours.onnx")) as (app, _):
        yield app


def test_a_file_of_many_scans_is_refused_before_it_is_decoded(app, monkeypatch):
    usual = progressive()
    assert 5 < scans(usual, 1000) < FEW
    assert send(app, usual, "image/jpeg").status_code == 200
    assert send(app, repeated(usual, MOST - scans(usual, 1000)), "image/jpeg").status_code == 200
    loaded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: loaded.append(self))
    response = send(app, repeated(usual, 3000), "image/jpeg")
    told = error(response)
    assert (response.status_code, told["field"], told["given"]) == (413, "image.scans", f"{MOST + 1} or more")
    assert loaded == []


def test_a_large_image_may_have_fewer(app):
    data = repeated(progressive(), 20)
    check_scans(data, 1000, 32 << 20)
    with pytest.raises(Exception, match=rf"image\.scans: got {FEW + 1} or more; allowed: at most {FEW} in an image"):
        check_scans(data, 32 << 20, 32 << 20)


def test_what_looks_like_a_scan_and_is_none_is_not_counted(app):
    usual = progressive()
    comment = SOS * 500
    within = usual[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + usual[2:]
    for data in (within, usual + SOS * 500):  # in a comment, and behind the end as in a phone's moving pictures
        assert data.count(SOS) > MOST
        assert scans(data, 1000) == scans(usual, 1000)
        assert send(app, data, "image/jpeg").status_code == 200


def test_scans_are_counted_as_they_are_read():
    plain = encoded(Image.new("RGB", (64, 64), (1, 2, 3)), "JPEG")
    assert scans(plain, 10) == 1
    restarts = plain.replace(EOI, b"\xff\xd0\xff\x00\xff\xff" + SOS + b"\x00\x02" + EOI)  # stuffing, then fill bytes
    assert scans(restarts, 10) == 2
    assert scans(b"\xff\xd8", 10) == scans(b"\xff\xd8\xff", 10) == scans(b"\xff\xd8\xff\xda\x00", 10) - 1 == 0
    assert scans(repeated(progressive(), 50), 7) == 7
    began = time.monotonic()
    assert scans(b"\xff" * (1 << 21) + b"\x00", 10) == 0  # a run of fill bytes is gone through once
    assert time.monotonic() - began < 5
    check_scans(encoded(Image.new("RGB", (8, 8))) + SOS * 1000, 64, 1 << 20)  # of other formats nothing is asked
