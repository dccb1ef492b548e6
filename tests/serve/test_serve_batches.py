"""Micro-batching, queues and deadlines, with engines that the test holds in its hand."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from _artifacts import colours, encoded, picture
from _client import client, error, send, started
from PIL import Image

from otoyol.serve.batcher import Batcher
from otoyol.serve.mail import Mail
from otoyol.serve.refusal import Refusal

LONG = 20.0  # seconds that no test waits for


class Held:
    """An engine that doubles its images once it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, images):
        self.sizes.append(len(images))
        self.began.set()
        assert self.go.wait(LONG)
        return list(images * 2)


def batcher(run, max_batch=4, max_wait_s=0.0, threads=1, watched=None):
    return Batcher(run, max_batch, max_wait_s, threads, lambda n, s: (watched if watched is not None else []).append(n))


def submit(batches, value):
    batches.expect()
    return batches.submit(np.full(1, value, dtype=np.float32))


def test_what_comes_while_the_engine_runs_is_run_together_and_everybody_gets_their_own():
    engine, watched = Held(), []
    batches = batcher(engine, watched=watched)
    first = submit(batches, 0.0)
    assert engine.began.wait(LONG)
    others = [submit(batches, float(value)) for value in range(1, 7)]
    assert len(batches) == 6
    engine.go.set()
    assert [future.result(LONG)[0] for future in [first, *others]] == [0, 2, 4, 6, 8, 10, 12]
    batches.close()
    assert engine.sizes == watched == [1, 4, 2]  # never more than max_batch


def test_a_lone_image_does_not_wait_for_others():
    engine = Held()
    engine.go.set()
    batches = batcher(engine, max_wait_s=LONG)
    began = time.monotonic()
    assert submit(batches, 1.0).result(LONG)[0] == 2
    assert time.monotonic() - began < LONG / 2
    batches.close()


def test_an_image_waits_for_those_on_the_way():
    engine = Held()
    engine.go.set()
    batches = batcher(engine, max_wait_s=LONG)
    batches.expect()
    first = submit(batches, 1.0)
    with pytest.raises(TimeoutError):
        first.result(0.05)
    second = batches.submit(np.full(1, 2.0, dtype=np.float32))
    assert [first.result(LONG)[0], second.result(LONG)[0]] == [2, 4]
    assert engine.sizes == [2]
    batches.expect()
    third = submit(batches, 3.0)
    batches.give_up()  # whoever it waits for has failed
    assert third.result(LONG)[0] == 6
    batches.close()


def test_nobody_is_waited_for_longer_than_told():
    engine = Held()
    engine.go.set()
    batches = batcher(engine, max_wait_s=0.02)
    batches.expect()  # and never comes
    assert submit(batches, 1.0).result(LONG)[0] == 2
    batches.close()


def test_a_cancelled_image_is_not_run():
    engine = Held()
    batches = batcher(engine)
    first = submit(batches, 1.0)
    assert engine.began.wait(LONG)
    left, stays = submit(batches, 2.0), submit(batches, 3.0)
    assert left.cancel()
    engine.go.set()
    assert (first.result(LONG)[0], stays.result(LONG)[0]) == (2, 6)
    batches.close()
    assert engine.sizes == [1, 1]


def test_an_engine_that_fails_or_answers_too_little_fails_its_batch_and_goes_on():
    answers = [lambda x: (_ for _ in ()).throw(RuntimeError("broken")), lambda x: [], lambda x: list(x)]
    batches = batcher(lambda images: answers.pop(0)(images))
    with pytest.raises(RuntimeError, match="broken"):
        submit(batches, 1.0).result(LONG)
    with pytest.raises(ValueError):
        submit(batches, 1.0).result(LONG)
    assert submit(batches, 7.0).result(LONG)[0] == 7
    batches.close()


def test_closing_runs_what_waits_and_takes_nothing_more():
    engine = Held()
    batches = batcher(engine)
    futures = [submit(batches, 1.0) for _ in range(3)]
    closing = threading.Thread(target=batches.close)
    closing.start()
    engine.go.set()
    closing.join(LONG)
    assert not closing.is_alive() and [future.result(0)[0] for future in futures] == [2, 2, 2]
    assert submit(batches, 1.0).cancelled()


def test_two_threads_run_at_the_same_time():
    both = threading.Barrier(2)

    def run(images):
        both.wait(LONG)  # neither gets past it alone
        return list(images)

    batches = batcher(run, max_batch=1, threads=2)
    assert [future.result(LONG)[0] for future in (submit(batches, 1.0), submit(batches, 2.0))] == [1, 2]
    batches.close()


def test_threads_tell_the_loop_everything_in_order_and_wake_it_seldom():
    async def listen():
        loop = asyncio.get_running_loop()
        mail, woken = Mail(loop), []
        wake, told = loop.call_soon_threadsafe, []
        loop.call_soon_threadsafe = lambda *call: (woken.append(1), wake(*call))
        thread = threading.Thread(target=lambda: [mail.post(told.append, number) for number in range(1000)])
        thread.start()
        thread.join()  # the loop stands still meanwhile
        first = len(woken)
        await asyncio.sleep(0)
        mail.post(told.append, 1000)
        await asyncio.sleep(0)
        return first, len(woken), told

    first, woken, told = asyncio.run(listen())
    assert (first, woken, told) == (1, 2, list(range(1001)))


def test_what_a_threads_future_comes_to():
    async def listen():
        mail = Mail(asyncio.get_running_loop())
        fine, failed, dropped, left = (Future() for _ in range(4))
        fine.set_result(7)
        failed.set_exception(KeyError("x"))
        dropped.cancel()
        waited = mail.awaited(left)
        waited.cancel()
        told = await asyncio.gather(*map(mail.awaited, (fine, failed, dropped)), waited, return_exceptions=True)
        return told, left.cancelled()

    (fine, failed, dropped, waited), left = asyncio.run(listen())
    assert fine == 7 and isinstance(failed, KeyError) and left
    assert isinstance(dropped, asyncio.CancelledError) and isinstance(waited, asyncio.CancelledError)


def hold(service, monkeypatch):
    """The service's engine, held until it is let go."""
    go, run = threading.Event(), service._batcher._run

    def held(images):
        assert go.wait(LONG)
        return run(images)

    monkeypatch.setattr(service._batcher, "_run", held)
    return go


def test_many_at_once_are_batched_and_each_answer_is_its_own(tmp_path, monkeypatch):
    path = colours(tmp_path / "colours.onnx")
    with started(path, max_batch=4, queue=40, decoders=2) as (app, service):
        rng = np.random.default_rng(0)
        images = [encoded(Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8))) for _ in range(20)]
        alone = [send(app, data).json() for data in images]
        go = hold(service, monkeypatch)

        async def post(asking, data):
            return (await asking.post("/v1/predict", content=data, headers={"content-type": "image/png"})).json()

        async def everybody():
            async with client(app) as asking:
                tasks = [asyncio.create_task(post(asking, data)) for data in images]
                while len(service._batcher) < 16:
                    await asyncio.sleep(0.001)
                go.set()
                return await asyncio.gather(*tasks)

        together_ = asyncio.run(everybody())
        for one, other in zip(alone, together_, strict=True):
            assert [row["label"] for row in one["classes"]] == [row["label"] for row in other["classes"]]
            probabilities = ([row["probability"] for row in page["classes"]] for page in (one, other))
            assert np.allclose(*probabilities, rtol=0, atol=1e-6)
        sizes = service.metrics.registry.get_sample_value("otoyol_batch_images_bucket", {"le": "4.0"})
        runs = service.metrics.registry.get_sample_value("otoyol_batch_images_count")
        assert sizes == runs and runs < 40  # never more than four, and not one by one


def test_a_full_queue_says_when_to_come_again(tmp_path, monkeypatch):
    with started(colours(tmp_path / "colours.onnx"), queue=2) as (app, service):
        go = hold(service, monkeypatch)

        async def three():
            async with client(app) as asking:
                request = {"content": picture((1, 2, 3)), "headers": {"content-type": "image/png"}}
                ask = [asyncio.create_task(asking.post("/v1/predict", **request)) for _ in range(2)]
                while service.inside < 2:
                    await asyncio.sleep(0.001)
                refused = await asking.post("/v1/predict", content=b"x", headers={"content-type": "image/png"})
                go.set()
                return refused, *(await asyncio.gather(*ask))

        refused, *served = asyncio.run(three())
        assert (refused.status_code, refused.headers["retry-after"], error(refused)["field"]) == (503, "1", "queue")
        assert [response.status_code for response in served] == [200, 200]
        assert service.inside == 0


def test_an_answer_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    with started(colours(tmp_path / "colours.onnx"), timeout_s=0.05) as (app, service):
        go = hold(service, monkeypatch)
        late = send(app, picture((1, 2, 3)))
        assert (late.status_code, error(late)["field"]) == (504, "timeout")
        assert service.inside == 0
        go.set()
        assert send(app, picture((1, 2, 3))).status_code == 200


def test_decoding_that_takes_too_long_keeps_its_place(tmp_path, monkeypatch):
    """Or a client could fill the decoders' queue without end."""
    go = threading.Event()

    def slow(*arguments):
        assert go.wait(LONG)
        raise AssertionError("nobody waits for this")

    with started(colours(tmp_path / "colours.onnx"), timeout_s=0.05, queue=1) as (app, service):
        monkeypatch.setattr("otoyol.serve.service.prepare", slow)

        async def twice():
            async with client(app) as asking:
                request = {"content": picture((1, 2, 3)), "headers": {"content-type": "image/png"}}
                late = await asking.post("/v1/predict", **request)
                refused = await asking.post("/v1/predict", **request)
                go.set()
                while service.inside:
                    await asyncio.sleep(0.001)
                monkeypatch.undo()
                return late, refused, await asking.post("/v1/predict", **request)

        late, refused, fine = asyncio.run(asyncio.wait_for(twice(), LONG))
        assert [late.status_code, refused.status_code, fine.status_code] == [504, 503, 200]


def test_what_is_no_longer_to_be_decoded_is_not_held(tmp_path, monkeypatch):
    """A request that is over has left its seat: its bytes may not wait for a decoder that is busy with another's."""
    go, datas = threading.Event(), []

    def slow(data, *_):
        datas.append(data)
        assert go.wait(LONG)
        raise AssertionError("nobody waits for this")

    with started(colours(tmp_path / "colours.onnx"), timeout_s=0.05, decoders=1) as (app, service):
        monkeypatch.setattr("otoyol.serve.service.prepare", slow)
        assert send(app, picture((1, 2, 3))).status_code == 504  # its decoder is busy until the end
        waiting = bytearray(picture((4, 5, 6)))
        before = len(gc.get_referrers(waiting))
        with pytest.raises(Refusal):
            asyncio.run(service.answer(waiting))
        gc.collect()
        assert len(gc.get_referrers(waiting)) == before
        go.set()
        assert datas == [picture((1, 2, 3))]


def test_a_forced_stop_waits_for_nobody(tmp_path, monkeypatch):
    go = threading.Event()

    def slow(*arguments):
        assert go.wait(LONG)

    with started(colours(tmp_path / "colours.onnx"), timeout_s=0.5, decoders=1) as (app, service):
        monkeypatch.setattr("otoyol.serve.service.prepare", slow)
        assert send(app, picture((1, 2, 3))).status_code == 504
        waits = service._pool.submit(print)
        began = time.monotonic()
        service.stop(force=True)
        assert time.monotonic() - began < LONG / 2
        assert waits.cancelled() and service.inside == 1  # what is being decoded is still known of
        go.set()


def test_a_body_that_comes_too_slowly(tmp_path):
    async def slowly():
        yield b"x"
        await asyncio.sleep(LONG)

    with started(colours(tmp_path / "colours.onnx"), read_timeout_s=0.05) as (app, service):
        response = send(app, slowly())
        assert (response.status_code, error(response)["field"], response.headers["connection"]) == (
            408,
            "body",
            "close",
        )
        assert service.inside == 0
