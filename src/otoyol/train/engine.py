"""The training loop: one optimiser step after another, each a function of its number and of what the steps before left.

A step's samples, their augmentation, the model's own randomness and the learning rate all follow from the step's
number and the seed, so a checkpoint is the model, the optimiser, the average, the scaler and a few numbers, and a run
that goes on from one ends with the weights of a run that was never interrupted.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from otoyol.errors import OtoyolError, TrainingError
from otoyol.train.config import Config
from otoyol.train.ema import Average
from otoyol.train.folder import CHECKPOINTS
from otoyol.train.freeze import hold
from otoyol.train.judge import Interrupted, judge
from otoyol.train.loader import Batches, Fetched, Reader, SampleError, reader_s_end
from otoyol.train.log import Log
from otoyol.train.machine import Fabric, everyone, laid_out, prepared_model, total
from otoyol.train.optim import make_optimiser, set_lr
from otoyol.train.order import TrainingKeys, check_split, validation_keys
from otoyol.train.progress import Progress, Stopped, Told
from otoyol.train.schedule import factor
from otoyol.train.seeds import seed_of
from otoyol.train.sharded import assembled, parted_optimiser, parted_state, together, whole
from otoyol.train.signals import Stop
from otoyol.train.store import Store
from otoyol.train.task import Built, Metric, Task

SKIPPED_IN_A_ROW = 20  # steps without a finite loss and gradient after which skipping is no help


class Trainer:
    """One run of one task in ``folder``. ``identity``: plain data on what the run is, kept in each checkpoint."""

    def __init__(
        self, task: Task, config: Config, folder: Path, fabric: Fabric, stop: Stop,
        identity: dict[str, Any] | None = None,
        tell: Callable[[Told], None] = lambda _: None, save_best: Callable[[dict[str, Tensor]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.task, self.config, self.folder, self.fabric, self.stop = task, config, folder, fabric, stop
        self.identity, self.tell, self.save_best = identity or {}, tell, save_best
        self.recipe, self.run = config.recipe, config.run
        self.world, self.rank = fabric.world_size, fabric.global_rank
        self.samples = len(task.train)
        self.steps = self.recipe.total_steps(self.samples)
        check_split(self.recipe.batch, self.recipe.accumulate, self.world)
        per_epoch = max(1, -(-self.samples // self.recipe.batch))
        self.evaluate_every = self.run.evaluate_every or per_epoch
        self.state = Progress(sums=[0.0] * (1 + len(task.parts)))
        self.store = Store(folder / CHECKPOINTS, self.run.checkpoints.keep)
        self.columns = (
            "step", "epoch", "lr", "loss", *task.parts, *(f"val_{name}" for name in task.metrics), "seconds",
            "images_per_second",
        )  # fmt: skip
        self.metric: Metric | None = None  # of the last evaluation, on rank 0
        self.evaluated = False
        self.saved: int | None = None
        self.saved_moment: tuple[int, int] | None = None
        self.log: Log | None = None
        self._ahead: list[Fetched] | OtoyolError = []  # the next step's batches, or why there are none
        self._agreed = (False, False, False)  # what some rank wishes, see _wishes
        self._since = 0.0  # when there last was a checkpoint, on the monotonic clock

    def build(self, start: bool = True) -> Built:
        """The fresh model, its first weights decided by the seed, or by a file where ``start`` and the configuration
        say so. Raises SpecError for what cannot be trained."""
        torch.manual_seed(seed_of("model", self.run.seed))
        built = self.task.build(start)
        self.frozen = built.frozen
        self.model = prepared_model(built.model, self.run, self.fabric)
        make_optimiser(self.model, self.recipe.optimiser)  # refused here, before the run has a folder
        return Built(self.model, self.frozen)

    def train(self, content: dict[str, Any] | None) -> None:
        """All steps that are left; ``content`` is a checkpoint's, None for a fresh run; it is emptied. Raises
        TrainingError where the loss is not finite, Stopped after a signal, OtoyolError for what disk or data refuse."""
        if content is not None:
            self.state = Progress(**content["progress"])
        compiled: nn.Module = torch.compile(self.model) if self.run.compile else self.model  # type: ignore[assignment]
        self.wrapped = self.fabric.setup_module(compiled)
        self.optimiser = make_optimiser(self.model, self.recipe.optimiser)  # over the parameters as they are now
        self.stepper: Any = self.fabric.setup_optimizers(self.optimiser)
        ema = self.recipe.ema
        self.average = None if ema is None else Average(self.model, ema.decay, ema.warm)
        if content is not None:
            self.model.load_state_dict(parted_state(content["model"], self.model))  # on its device only now
            self.optimiser.load_state_dict(parted_optimiser(content["optimiser"], self.optimiser))
            self.fabric.strategy.precision.load_state_dict(content["scaler"])
            if self.average is not None:
                self.average.load(parted_state(content["average"], self.model))
            self.saved, self.saved_moment = self.state.step, (self.state.step, self.state.settled)
            content.clear()  # whole on every rank, and callers hold it while the rest runs
        self._open_loaders()
        try:
            if self.rank == 0:
                self.log = Log(self.folder, self.columns, self.state.log_size, step=self.state.step,
                               tensorboard=self.run.tensorboard)  # fmt: skip
            self._steps()
        except RuntimeError as error:
            if self.stop.asked and self.world > 1:  # another rank has left already
                raise Stopped(self.saved) from None
            if cause := _cause(error, self.world):
                raise TrainingError(f"training: {cause} at step {self.state.step + 1}; {self._kept()}") from None
            raise
        finally:
            self.training.close()
            self.validation.close()
            if self.log is not None:
                self.log.close()

    def _open_loaders(self) -> None:
        run, recipe, task = self.run, self.recipe, self.task
        skip, pin = run.unreadable == "skip", self.fabric.device.type == "cuda"
        reader = Reader(task.train, task.collate, run.seed, skip=skip, replace=True)
        keys = TrainingKeys(
            self.samples, run.seed, batch=recipe.batch, accumulate=recipe.accumulate, world=self.world,
            rank=self.rank, first=self.state.step, steps=self.steps,
        )  # fmt: skip
        self.training = Batches(reader, keys, workers=run.workers, pin=pin)
        judges = Reader(task.validation, task.collate, run.seed, skip=skip, replace=False)
        size = run.evaluation_batch or max(1, recipe.batch // recipe.accumulate // self.world)
        found = validation_keys(len(task.validation), size, self.world, self.rank)
        self.validation = Batches(judges, found, workers=run.workers, pin=pin)

    def _steps(self) -> None:
        batches = iter(self.training)
        self._began, self._since = time.monotonic() - self.state.seconds, time.monotonic()
        self._fetch(batches)
        if self.world > 1:
            self._agree(total(self.fabric, torch.tensor(self._wishes(), device=self.fabric.device)))
        hold(self.model, self.frozen)
        while True:
            self.state.seconds = time.monotonic() - self._began
            if self.world == 1:
                self._agree(self._wishes())
            stop, trouble, late = self._agreed
            if stop or trouble:
                self._leave()
            evaluated, every = self._settle(), self.run.checkpoints.every_steps
            due = every is not None and self.state.step % every == 0
            if evaluated or late or (due and self.state.step):
                self._save()
                self._since = time.monotonic()
            if self.state.step == self.steps:
                return
            self._step(batches)

    def _fetch(self, batches: Iterator[Fetched], step: int | None = None) -> None:
        """Read what ``step`` (by default the one at hand) needs, before any of it is used: where it cannot be read, the
        model is still that of a whole step, and can be saved."""
        self._ahead = []
        if (self.state.step if step is None else step) < self.steps:
            try:
                self._ahead = [next(batches) for _ in range(self.recipe.accumulate)]
            except OtoyolError as error:
                self._ahead = error

    def _wishes(self) -> list[float]:
        """Whether this rank was asked to stop, has no batches to go on with, finds a checkpoint due by its clock."""
        seconds = self.run.checkpoints.every_seconds
        late = seconds is not None and time.monotonic() - self._since >= seconds
        return [float(self.stop.asked), float(isinstance(self._ahead, OtoyolError)), float(late)]

    def _agree(self, wishes: Sequence[float]) -> None:
        """Wishes summed over the ranks, so that all of them leave, or save, at one step."""
        self._agreed = wishes[0] > 0, wishes[1] > 0, wishes[2] > 0

    def _leave(self) -> NoReturn:
        """Save, then raise Stopped, or OtoyolError where a batch cannot be read."""
        self._save()
        if self.world > 1:
            self.fabric.barrier()  # torchrun ends all processes once one has left
        if isinstance(self._ahead, OtoyolError):
            raise self._advised(self._ahead)
        if self._agreed[1]:
            raise TrainingError(f"training: another process cannot read its next batch; {self._kept()}")
        if not self.stop.asked:
            self.stop.signal = signal.SIGTERM  # another rank's
        raise Stopped(self.saved)

    def _step(self, batches: Iterator[Fetched]) -> None:
        """One optimiser step; the gradient is the mean of the passes' on all ranks, weighted by their samples."""
        recipe, step = self.recipe, self.state.step
        lr = recipe.optimiser.lr * factor(recipe.schedule, step, self.steps)
        set_lr(self.optimiser, lr)
        skip = self.run.on_nan == "skip"
        buffers = [buffer.clone() for buffer in self.model.buffers()] if skip else []
        sums = torch.zeros(1 + len(self.task.parts), dtype=torch.float64, device=self.fabric.device)
        assert isinstance(self._ahead, list)  # noqa: S101 (for the type checker: _leave has seen to errors)
        skipped = [name for fetched in self._ahead for name in fetched.skipped if name not in self.state.left_out]
        for part, fetched in enumerate(self._ahead):
            torch.manual_seed(seed_of("step", self.run.seed, step, self.rank, part))
            last = part == recipe.accumulate - 1
            with nullcontext() if last else self.fabric.no_backward_sync(self.wrapped):
                batch = laid_out(self.fabric.to_device(fetched.batch), self.run.channels_last)
                loss = self.task.loss(self.wrapped, batch)
                weight = fetched.samples / recipe.batch
                self.fabric.backward(loss.total * (weight * self.world))
            told = [loss.total.detach(), *(loss.parts[name].detach() for name in self.task.parts)]
            sums += weight * torch.stack([value.double() for value in told])
        self._fetch(batches, step + 1)
        told_too = sums.new_tensor([*self._wishes(), float(len(skipped))])
        *figures, stop, trouble, late, unread = total(self.fabric, torch.cat((sums, told_too)))
        self._agree((stop, trouble, late))
        if unread:  # names travel only where there are some
            self._note([name for names in everyone(self.fabric, skipped) for name in names])
        if not (problem := self._problem(figures[0])):
            self.stepper.step()
            if self.average is not None:
                self.average.update(self.state.updates)
            self.state.updates += 1
            self.state.sums = [old + new for old, new in zip(self.state.sums, figures, strict=True)]
            self.state.steps += 1
        else:
            self._refuse(problem, buffers)
        self.optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        if self.rank == 0:
            self.tell(self._told(figures[0]))

    def _problem(self, loss: float) -> str:
        """What forbids the step, the same on every rank: a loss that is not finite or, where such steps are skipped, a
        gradient, which is clipped here. A scaler of 16 bits looks at gradients itself and passes over a step."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        norm: Tensor | None = None
        if (clip := self.recipe.clip) is not None:
            norm = self.fabric.clip_gradients(self.wrapped, self.stepper, max_norm=clip, error_if_nonfinite=False)
        if self.run.on_nan == "stop" or getattr(self.fabric.strategy.precision, "scaler", None) is not None:
            return ""
        if norm is None:
            norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        value = float(whole(norm))
        return "" if math.isfinite(value) else f"the norm of the gradient is {value}"

    def _refuse(self, problem: str, buffers: list[Tensor]) -> None:
        """A step that cannot be: the end, or one that leaves no trace but its record."""
        step, lr = self.state.step + 1, self.recipe.optimiser.lr
        if self.run.on_nan == "stop":
            raise TrainingError(
                f"training: {problem} at step {step}; {self._kept()}; --resume --set run.on_nan=skip passes "
                f"over such steps, a learning rate below {lr:g} is for a new run (--out)"
            )
        self.state.nan_steps.append(step)
        row = self.state.nan_steps[-SKIPPED_IN_A_ROW:]
        if len(row) == SKIPPED_IN_A_ROW and row[0] == step - SKIPPED_IN_A_ROW + 1:
            raise TrainingError(f"training: {problem} at {len(row)} steps in a row, up to {step}; {self._kept()}")
        for buffer, before in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(before)

    def _advised(self, error: OtoyolError) -> OtoyolError:
        """The error, what is kept, and where it helps how to go on."""
        skip = isinstance(error, SampleError) and self.run.unreadable == "stop"
        advice = "; --resume --set run.unreadable=skip goes on without it" if skip else ""
        return OtoyolError(f"{error}; {self._kept()}{advice}")

    @contextmanager
    def _advising(self) -> Iterator[None]:
        """What the disk refuses inside is told together with what is kept."""
        try:
            yield
        except OtoyolError as error:
            raise self._advised(error) from None

    def _kept(self) -> str:
        if self.rank:
            return "the first process keeps the last checkpoint"
        return "no checkpoint was written yet" if self.saved is None else f"the checkpoint of step {self.saved} is kept"

    def _settle(self) -> bool:
        """What is due once a step is done: its row in the log, an evaluation, the best weights. Whether there was an
        evaluation. Done again after an interruption amid it."""
        state = self.state
        if state.settled == state.step:
            return False
        last = state.step == self.steps
        evaluating = last or state.step % self.evaluate_every == 0
        if evaluating:
            if self.world > 1:  # ranks cannot leave amid it, and whoever asked them to may not wait for its end
                self._save()
            self._evaluate()
            state.seconds = time.monotonic() - self._began  # its row tells when the figures were there
        if self.rank == 0 and self.log is not None and (evaluating or state.step % self.run.log_every == 0):
            told = self._told(math.nan)
            means = [value / state.steps if state.steps else None for value in state.sums]
            figures = dict(zip(("loss", *self.task.parts), means, strict=True))
            judged = {f"val_{name}": value for name, value in state.metrics.items()} if evaluating else {}
            with self._advising():
                self.log.row({
                    "step": state.step, "epoch": round(told.epoch, 6), "lr": told.lr, **figures, **judged,
                    "seconds": round(state.seconds, 3), "images_per_second": round(told.images_per_second, 1),
                })  # fmt: skip
        if evaluating or state.step % self.run.log_every == 0:
            state.sums, state.steps = [0.0] * len(state.sums), 0
        state.settled = state.step
        return evaluating

    def _evaluate(self) -> None:
        self.metric, self.evaluated = self.judged(), True
        state, weights = self.state, self.weights()
        if self.metric is None:
            return
        figures = self.metric.compute()  # once: COCO's take seconds
        state.metrics = {name: float(figures[name]) for name in self.task.metrics}
        value = state.metrics[self.task.best]
        if not state.best or value > state.best["metrics"][self.task.best]:
            state.best = {"step": state.step, "metrics": state.metrics}
            with self._advising():
                self.save_best(weights)
        self.tell(self._told(math.nan)._replace(metrics=state.metrics))

    def judged(self) -> Metric | None:
        """The validation split's metric by the weights that count, on rank 0. Raises Stopped where a signal comes
        amid it."""
        try:
            with self.counting():
                return judge(self.task, self.model, self.validation, self.fabric, self.stop, self._note,
                             self.run.channels_last)  # fmt: skip
        except Interrupted:
            self._save()
            raise Stopped(self.saved) from None
        except OtoyolError as error:
            self._save()
            raise self._advised(error) from None
        except RuntimeError:  # memory, or another rank that is gone: this step's weights are whole all the same
            self._save()
            raise
        finally:
            hold(self.model, self.frozen)
            if self.state.step == self.steps:
                self.validation.close()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Inside, every rank's model holds all the weights that count. All ranks enter; each leaves by itself."""
        with self.average.swapped() if self.average is not None else nullcontext(), together(self.model):
            yield

    def weights(self) -> dict[str, Tensor]:
        """The weights that count, on rank 0: the average where there is one. All ranks ask."""
        values = self.average.values if self.average is not None else self.model.state_dict()
        return assembled(values, self.rank == 0)

    def _note(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.state.left_out:
                self.state.left_out.append(name)

    def _told(self, loss: float) -> Told:
        state, step = self.state, max(0, self.state.step - 1)
        lr = self.recipe.optimiser.lr * factor(self.recipe.schedule, step, self.steps)
        done = state.step * self.recipe.batch
        speed = done / max(1e-9, time.monotonic() - self._began)
        return Told(state.step, self.steps, done / self.samples, loss, lr, speed)

    def _save(self) -> None:
        """A checkpoint of this moment, by rank 0, unless there is one already. All ranks come here at one moment."""
        moment = self.state.step, self.state.settled
        if self.saved_moment == moment:
            return
        content = assembled({
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.values,
        }, self.rank == 0)  # fmt: skip
        if self.log is None:
            self.saved_moment = moment
            return
        if not all(bool(content["model"][name].isfinite().all()) for name, _ in self.model.named_parameters()):
            raise TrainingError(f"training: weights are not finite after step {self.state.step}; {self._kept()}")
        with self._advising():
            self.log.sync()
        self.state.log_size = self.log.size
        self.store.save(self.state.step, {
            "identity": self.identity, **content, "scaler": self.fabric.strategy.precision.state_dict(),
            "progress": asdict(self.state),
        })  # fmt: skip
        self.saved, self.saved_moment = self.state.step, moment


def _cause(error: RuntimeError, world: int) -> str:
    """What ended the run, where it is not a fault of the code."""
    if world > 1 and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):  # gloo has no class
        return "a process of this run is gone"
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "not enough memory"
    return reader_s_end(error)  # torch tells it wherever this process happens to be
