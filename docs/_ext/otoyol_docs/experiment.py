"""The record of recipes/pre_or_post.py as tables, and as sentences that claim what the record shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from otoyol.explain.text import number
from otoyol_docs.evidence import FOLDER
from otoyol_docs.markdown import code, table

Range = list[float] | None

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "what": "what", "record": "of this record", "command": "command", "date": "date", "machine": "machine",
        "on": "{processor}, {cores} cores, torch {torch}",
        "data": "data", "images": "{data}, the same images in the same order for every design of a seed",
        "training": "training",
        "trained": "{steps} steps of {batch} images, SGD, momentum {momentum}, learning rate {lr}, constant",
        "runs": "runs",
        "ran": "{runs}, {minutes} minutes by the clock over all sittings, standstills included; command, date and "
               "commit are the last sitting's",
        "accuracy": "accuracy", "tested": "{images} test images a run: a standard error of about {error} at {at}",
        "identities": "identities",
        "held": "{stretches} stretches of pure identity; the largest relative residual of Eqs. 4 and 5 in float64 is "
                "{residual}",
        "pair": "- **{depth} layers**, {seeds}: the mean loss of the last fifth of the steps is {loss}. The accuracy "
                "after them is {accuracy}.",
        "no_pair": "No pair is recorded.", "one_seed": "1 seed, so that a difference shows nothing",
        "seeds": "{count} seeds (where nothing differs, all agree by chance one time in {chance})",
        "unknown": "not known", "lower": "lower", "higher": "higher",
        "told": "{better} for {which} in every seed, by {mean} on average ({least} to {most})",
        "unordered": "not ordered: the difference runs from {least} to {most} over the seeds",
        "designs": "design|seeds|gradient, first block over last|through the shortcut|the first, trained|late loss|"
                   "accuracy",
        "memory": "design|spec|held for backward|held, lean|lean / standard",
    },
    "tr": {
        "what": "bilgi", "record": "bu kayıtta", "command": "komut", "date": "tarih", "machine": "makine",
        "on": "{processor}, {cores} çekirdek, torch {torch}",
        "data": "veri", "images": "{data}; bir tohumun bütün tasarımlarına aynı görüntüler aynı sırayla",
        "training": "eğitim",
        "trained": "{batch} görüntülük {steps} adım, SGD, momentum {momentum}, sabit öğrenme oranı {lr}",
        "runs": "koşu",
        "ran": "{runs}; bütün oturumlarda, duraklamalar da içinde, saatle {minutes} dakika; komut, tarih ve commit son "
               "oturumundur",
        "accuracy": "doğruluk",
        "tested": "koşu başına {images} sınama görüntüsü: doğruluk {at} iken standart hata yaklaşık {error}",
        "identities": "özdeşlikler",
        "held": "{stretches} saf özdeşlik kesimi; denklem 4 ve 5'in float64 ile en büyük bağıl artığı {residual}",
        "pair": "- **{depth} katman**, {seeds}: adımların son beşte birindeki ortalama kayıp {loss}. Adımlardan "
                "sonraki doğruluk {accuracy}.",
        "no_pair": "Kayıtta çift yok.", "one_seed": "1 tohum; bir fark hiçbir şey göstermez",
        "seeds": "{count} tohum (ortada fark yokken hepsinin rastlantıyla anlaşma olasılığı 1/{chance})",
        "unknown": "bilinmiyor", "lower": "daha düşük", "higher": "daha yüksek",
        "told": "tohumların hepsinde {which} ağında {better}, fark ortalama {mean} ({least} – {most})",
        "unordered": "bir sıra göstermiyor: fark tohumdan tohuma {least} ile {most} arasında değişiyor",
        "designs": "tasarım|tohum|gradyan, ilk blok / son blok|kısayoldan|ilk oran, eğitimden sonra|sondaki kayıp|"
                   "doğruluk",
        "memory": "tasarım|metin biçimi|geri yayılım için tutulan|yalın eğitimde tutulan|yalın / standart",
    },
}  # fmt: skip


def pre_or_post(lang: str, part: str, path: str = "") -> str:
    """``part``: ``setting``, ``pairs``, ``designs`` or ``memory``."""
    record = json.loads(Path(path or FOLDER / "pre_or_post.json").read_text(encoding="utf-8"))
    return {"setting": _setting, "pairs": _pairs, "designs": _designs, "memory": _memory}[part](record, lang)


def _say(lang: str, key: str, **facts: object) -> str:
    return WORDS[lang][key].format(**facts)


def _setting(record: dict[str, Any], lang: str) -> str:
    found, machine = record["figures"], record["machine"]
    error = (0.2 * 0.8 / max(1, found["test_images"])) ** 0.5
    lr, momentum, minutes = number(found["lr"], lang), number(0.9, lang), number(found["minutes"], lang, ".0f")
    rows = [
        ("command", code(record["command"])),
        ("date", record["date"]),
        ("machine", _say(lang, "on", torch=machine["versions"]["torch"], **machine)),
        ("data", _say(lang, "images", data=found["data"])),
        ("training", _say(lang, "trained", steps=found["steps"], batch=found["batch"], momentum=momentum, lr=lr)),
        ("runs", _say(lang, "ran", runs=found["runs"], minutes=minutes)),
        ("accuracy", _say(lang, "tested", images=found["test_images"], error=number(error, lang, ".1%"),
                          at=number(0.2, lang, ".0%"))),
        ("identities", _say(lang, "held", stretches=found["stretches"], residual=f"{found['largest_residual']:.0e}")),
    ]  # fmt: skip
    return table((_say(lang, "what"), _say(lang, "record")), [(_say(lang, key), told) for key, told in rows])


def _pairs(record: dict[str, Any], lang: str) -> str:
    """One sentence a depth, whose verdict follows from the signs seed by seed."""
    lines = []
    for depth, pair in record["figures"]["pairs"].items():
        loss = _told(pair["loss_v1_minus_v2"], "v1", "v2", "lower", lang)
        accuracy = _told(pair["accuracy_v2_minus_v1"], "v1", "v2", "higher", lang, ".1%")
        seeds = _seeds(pair["seeds"], lang)
        lines.append(_say(lang, "pair", depth=depth, seeds=seeds, loss=loss, accuracy=accuracy))
    return "\n".join(lines) or _say(lang, "no_pair")


def _seeds(count: int, lang: str) -> str:
    """How many, and how little it means that all of them agree."""
    return _say(lang, "one_seed") if count == 1 else _say(lang, "seeds", count=count, chance=2 ** (count - 1))


def _told(found: Range, low: str, high: str, better: str, lang: str, how: str = ".3f") -> str:
    """Who is better by how much, where every seed agrees; otherwise that they do not."""
    if found is None:
        return _say(lang, "unknown")
    mean, least, most = (number(abs(value), lang, how) for value in found)
    better = _say(lang, better)
    if found[1] > 0:
        return _say(lang, "told", better=better, which=high, mean=mean, least=least, most=most)
    if found[2] < 0:
        return _say(lang, "told", better=better, which=low, mean=mean, least=most, most=least)
    low_, high_ = number(found[1], lang, how), number(found[2], lang, how)
    return _say(lang, "unordered", least=low_, most=high_)


def _designs(record: dict[str, Any], lang: str) -> str:
    rows = []
    for name, design in record["figures"]["designs"].items():
        row = [name.replace("_", " "), number(design["seeds"], lang)]
        row += [_range(design["gradient_ratio_fresh"], lang, ".3g"), _range(design["skip_share_fresh"], lang, ".0%")]
        row += [_range(design["gradient_ratio_trained"], lang, ".3g"), _range(design["loss_late"], lang, ".3g")]
        rows.append((*row, _range(design["accuracy"], lang, ".1%")))
    return table(_say(lang, "designs").split("|"), rows, "lrrrrrr")


def _memory(record: dict[str, Any], lang: str) -> str:
    rows = []
    for name, design in record["figures"]["designs"].items():
        held, lean = design["train_bytes"], design["train_bytes_lean"]
        figures = (number(held, lang, "bytes"), number(lean, lang, "bytes"), number(lean / held, lang, ".1%"))
        rows.append((name.replace("_", " "), code(design["spec"]), *figures))
    return table(_say(lang, "memory").split("|"), rows, "llrrr")


def _range(found: Range, lang: str, how: str) -> str:
    if found is None:
        return "–"
    mean, low, high = (number(value, lang, how) for value in found)
    return mean if low == high else f"{mean} ({low} – {high})"
