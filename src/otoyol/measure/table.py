"""A latency table: networks that ran on this machine, the seconds of every fused operator in them. JSON on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from otoyol.errors import SpecError
from otoyol.measure.fingerprint import check_fingerprint
from otoyol.measure.fused import FusedOp
from otoyol.spec.files import read_bytes, write_text

FORMAT = 2
NOISY = 0.10  # interquartile range over median beyond which a timing is called noisy
ENOUGH_CALM = 24  # networks from which the disturbed ones are left aside
MAX_BYTES = 1 << 28


class Timing(NamedTuple):
    """Median over interleaved rounds; ``spread`` is the interquartile range over the median."""

    seconds: float
    spread: float
    rounds: int

    @property
    def noisy(self) -> bool:
        return self.spread > NOISY


def timing(samples: Sequence[float]) -> Timing:
    """The summary of repeated timings of one thing."""
    from statistics import quantiles

    middle = median(samples)
    if len(samples) < 3 or middle <= 0:
        return Timing(middle, 0.0, len(samples))
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return Timing(middle, (high - low) / middle, len(samples))


class Network(NamedTuple):
    """One measured network. ``steps`` index the table's operators in the order they ran, ``seconds`` and ``spreads``
    belong to them; ``whole`` is the network end to end; all as they are where the anchor takes ``pace`` seconds.
    ``calm``: enough of its runs were undisturbed."""

    spec: str
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    spreads: tuple[float, ...]
    whole: Timing
    pace: float
    calm: bool = True


class Row(NamedTuple):
    """One fused operator: the median over the networks it occurs in, how far they disagree, how many there are."""

    op: FusedOp
    seconds: float
    spread: float
    networks: int

    @property
    def noisy(self) -> bool:
        return self.spread > NOISY


class Span(NamedTuple):
    """How long a pool of designs was measured: ``spent`` seconds, and the ``asked`` ones of the last time that ended
    uninterrupted (0 where none did)."""

    spent: float
    asked: float


@dataclass
class Table:
    """``elapsed`` seconds went into it; ``anchor`` is one network again and again, so that the machine's pace shows:
    (elapsed, seconds). ``finished`` is False where building was interrupted. ``unseen``: for every trusted network the
    sum over its operators by laws that had not seen it, kept because it takes long to find. ``pools``: how long it was
    measured for which designs, by the designs' digest (:func:`otoyol.measure.build.pool_digest`)."""

    fingerprint: dict[str, Any]
    operators: list[FusedOp] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    anchor: list[tuple[float, float]] = field(default_factory=list)
    anchor_spec: str = ""
    elapsed: float = 0.0
    finished: bool = False
    unseen: list[float] = field(default_factory=list)
    pools: dict[str, Span] = field(default_factory=dict)

    @cached_property
    def position(self) -> dict[FusedOp, int]:
        return {op: i for i, op in enumerate(self.operators)}

    def index(self, op: FusedOp) -> int:
        """The operator's number; a new one gets the next."""
        if op not in self.position:
            self.position[op] = len(self.operators)
            self.operators.append(op)
        return self.position[op]

    @property
    def trusted(self) -> list[int]:
        """Numbers of the networks to go by: the calm ones where there are enough, otherwise all."""
        calm = [i for i, network in enumerate(self.networks) if network.calm]
        return calm if len(calm) >= ENOUGH_CALM else list(range(len(self.networks)))

    @property
    def pace(self) -> float:
        """The anchor's seconds at the pace that :meth:`rows` and :meth:`whole` tell times at: the usual one."""
        return median(self.networks[i].pace for i in self.trusted)

    def whole(self, number: int) -> float:
        """Seconds of a network end to end, at the table's pace."""
        network = self.networks[number]
        return network.whole.seconds * self.pace / network.pace

    def rows(self, networks: Sequence[int] | None = None) -> list[Row]:
        """The table proper: every operator that occurs in the networks (the trusted, or those of these numbers),
        at the table's pace."""
        found: dict[int, list[float]] = {}
        spreads: dict[int, list[float]] = {}
        pace = self.pace if self.networks else 0.0
        for number in self.trusted if networks is None else networks:
            network = self.networks[number]
            here: dict[int, list[float]] = {}
            for step, seconds, spread in zip(network.steps, network.seconds, network.spreads, strict=True):
                here.setdefault(step, []).append(seconds * pace / network.pace)
                spreads.setdefault(step, []).append(spread)
            for step, samples in here.items():
                found.setdefault(step, []).append(median(samples))
        rows = []
        for step, samples in sorted(found.items()):
            summary = timing(samples)
            rows.append(
                Row(self.operators[step], summary.seconds, max(summary.spread, median(spreads[step])), len(samples))
            )
        return rows

    @property
    def drift(self) -> float:
        """How far the anchor moved: (slowest - fastest) / median of its timings, without the extreme tenths."""
        seconds = sorted(s for _, s in self.anchor)
        cut = len(seconds) // 10
        kept = seconds[cut : len(seconds) - cut]
        return (kept[-1] - kept[0]) / median(kept) if len(kept) > 1 else 0.0

    @property
    def noisy(self) -> float:
        """Share of networks that were disturbed, or disagreed with themselves, after all repetitions."""
        return sum(n.whole.noisy or not n.calm for n in self.networks) / len(self.networks) if self.networks else 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table; it appears whole or not at all. Raises OtoyolError."""
        write_text(path, self.dumps())

    def dumps(self) -> str:
        names = FusedOp._fields
        head = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "finished": self.finished,
            "elapsed_seconds": round(self.elapsed, 1),
            "noisy_share": round(self.noisy, 4),
            "pools": {
                pool: {"spent_seconds": round(span.spent, 1), "asked_seconds": span.asked}
                for pool, span in self.pools.items()
            },
            "anchor_spec": self.anchor_spec,
            "anchor": [[round(at, 1), _micro(s)] for at, s in self.anchor],
            "unseen_net_us": [_micro(s) for s in self.unseen],
            "operator_fields": list(names),
        }
        lines = [json.dumps(head)[:-1] + ","]
        operators = ",\n".join(json.dumps(list(op)) for op in self.operators)
        networks = ",\n".join(json.dumps(_network_fields(n)) for n in self.networks)
        return "\n".join([*lines, '"operators": [', operators, '], "networks": [', networks, "]}"]) + "\n"


def _micro(seconds: float) -> float:
    """Microseconds with one decimal."""
    return round(seconds * 1e6, 1)


def _network_fields(network: Network) -> dict[str, Any]:
    return {
        "spec": network.spec,
        "whole_us": _micro(network.whole.seconds),
        "whole_spread": round(network.whole.spread, 4),
        "rounds": network.whole.rounds,
        "noisy": network.whole.noisy,
        "pace_us": _micro(network.pace),
        "calm": network.calm,
        "steps": list(network.steps),
        "us": [_micro(s) for s in network.seconds],
        "spread": [round(s, 3) for s in network.spreads],
    }


def load_table(path: str | os.PathLike[str], here: dict[str, Any] | None = None) -> Table:
    """A table from its file. With ``here`` (:func:`otoyol.measure.fingerprint`) it is refused where it was made on
    another machine, with another engine or other settings. Raises SpecError."""
    path = Path(path)
    data = read_bytes(path, "table", MAX_BYTES)
    try:
        fields = json.loads(data)
        if fields["format"] != FORMAT:
            raise SpecError("table", f"format {fields['format']}", f"format {FORMAT}: measure again")
        table = _table(fields)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise SpecError("table", path.name, _DAMAGED) from None
    if here is not None:
        check_fingerprint(table.fingerprint, here)
    return table


_DAMAGED = "a table that `otoyol measure` has written; this one is damaged"


def _table(fields: Any) -> Table:
    if fields["operator_fields"] != list(FusedOp._fields):
        raise SpecError("table", "other operator fields", "a table of this version of Otoyol: measure again")
    operators = [FusedOp(*row) for row in fields["operators"]]
    networks = []
    for row in fields["networks"]:
        steps = tuple(row["steps"])
        seconds, spreads = (tuple(map(float, row[key])) for key in ("us", "spread"))
        if not len(steps) == len(seconds) == len(spreads) or not all(0 <= s < len(operators) for s in steps):
            raise ValueError("steps and timings of different lengths")
        whole = Timing(row["whole_us"] * 1e-6, float(row["whole_spread"]), int(row["rounds"]))
        networks.append(
            Network(
                str(row["spec"]),
                steps,
                tuple(s * 1e-6 for s in seconds),
                spreads,
                whole,
                float(row["pace_us"]) * 1e-6,
                bool(row["calm"]),
            )
        )
    anchor = [(float(at), s * 1e-6) for at, s in fields["anchor"]]
    fingerprint = dict(fields["fingerprint"])
    pools = {  # older tables have none
        str(pool): Span(float(span["spent_seconds"]), float(span["asked_seconds"]))
        for pool, span in fields.get("pools", {}).items()
    }
    unseen = [float(us) * 1e-6 for us in fields.get("unseen_net_us", ())]
    return Table(
        fingerprint, operators, networks, anchor, str(fields["anchor_spec"]),
        float(fields["elapsed_seconds"]), bool(fields["finished"]), unseen,
        pools,
    )  # fmt: skip
