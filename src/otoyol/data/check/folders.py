"""Images by class: ``<split>/<class>/*``, or ``<class>/*``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from otoyol.data.check.findings import Checked, Finding, Split, of_classes
from otoyol.data.check.pictures import Seen, look_at, same_pictures
from otoyol.data.source import SUFFIXES, TEST_FOLDERS

SPLITS = ("train", "val", "test")


def check_folder(root: Path, tell: Callable[[int], None]) -> Checked:
    """Every image of a folder, decoded."""
    parts = {name: root / name for name in SPLITS if (root / name).is_dir()} or {"all": root}
    judged = next((name for name in TEST_FOLDERS if name in parts), "")  # the other one is never read
    findings: list[Finding] = []
    seen: list[Seen] = []
    splits = []
    done = 0
    for name, folder in parts.items():
        counts: dict[str, int] = {}
        for kind in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            files = [path for path in sorted(kind.rglob("*")) if path.is_file()]
            images = [path for path in files if path.suffix.lower() in SUFFIXES]
            findings += [Finding("unlisted", str(path), "no image by its name") for path in files if path not in images]
            counts[kind.name] = len(images)
            if not images and name in ("all", "train", judged):
                findings.append(Finding("empty_class", str(kind), "no image"))
            elif len(images) == 1 and name == "all":
                findings.append(Finding("empty_class", str(kind), "one image; training and testing need one each"))
            for path in images:
                one = look_at(path, name, kind.name)
                (seen if isinstance(one, Seen) else findings).append(one)  # type: ignore[arg-type]
                tell(done := done + 1)
        if not sum(counts.values()):
            findings.append(Finding("empty_split", str(folder), "no image in a folder of its class"))
        splits.append(Split(name, sum(counts.values()), None, counts))
    found = of_classes(tuple(splits), "train" if "train" in parts else None)
    return Checked("folder", tuple(splits), (*findings, *found, *same_pictures(seen)))
