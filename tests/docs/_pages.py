"""Reading Markdown pages: headings, fenced blocks, console sessions and source trees."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


class Fence(NamedTuple):
    info: str
    body: str


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(text: str) -> list[Fence]:
    """Fenced blocks in order."""
    return [Fence(*found) for found in re.findall(r"^```([^\n`]*)\n(.*?)^```$", text, flags=re.M | re.S)]


def headings(text: str) -> list[int]:
    """Levels of the headings in order."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [len(marks) for marks in re.findall(r"^(#+) ", plain, flags=re.M)]


def sessions(text: str) -> list[tuple[str, str]]:
    """Every ``$ otoyol …`` line of the console blocks and what is printed under it."""
    found = []
    for fence in fences(text):
        if fence.info == "console":
            parts = re.split(r"^\$ ", fence.body, flags=re.M)
            assert parts[0] == "", f"output before the first command: {parts[0]!r}"
            found += [tuple(part.split("\n", 1)) for part in parts[1:]]
    return found


def tree(text: str) -> dict[str, str]:
    """Files of the ``text`` block that begins with src/otoyol/, each with its line."""
    body = next(fence.body for fence in fences(text) if fence.info == "text" and fence.body.startswith("src/otoyol/"))
    files: dict[str, str] = {}
    folders: list[str] = []
    for line in body.splitlines():
        indent, name, comment = re.fullmatch(r"( *)(\S+) +(\S.*)", line).groups()
        depth, odd = divmod(len(indent), 2)
        assert not odd and depth <= len(folders), f"indented by {len(indent)}: {line}"
        del folders[depth:]
        if name.endswith("/"):
            folders.append(name)
        else:
            path = "".join([*folders, name])
            assert path not in files, f"{path} stands twice"
            files[path] = comment
    return files


def outcome(line: str) -> tuple[int, str]:
    """Status and output of one shell line: ``otoyol …`` and, if there is one, a ``| head -N`` or ``| tail -N``."""
    from otoyol_docs.running import command

    found = re.fullmatch(r"otoyol ([^|]*?)(?: \| (head|tail) -(\d+))?", line)
    assert found, f"not a line that this test can run: {line}"
    result = command(found[1])
    lines = (result.out + result.err).splitlines()
    if found[2]:
        lines = lines[: int(found[3])] if found[2] == "head" else lines[-int(found[3]) :]
    return result.status, "".join(f"{shown.rstrip()}\n" for shown in lines)


def renewed(text: str) -> str:
    """The page with the output under every command as it is now."""

    def run(fence: re.Match[str]) -> str:
        commands = re.findall(r"^\$ (.*)$", fence[0], flags=re.M)
        return "```console\n" + "\n".join(f"$ {line}\n{outcome(line)[1]}" for line in commands) + "```"

    return re.sub(r"^```console\n.*?^```$", run, text, flags=re.M | re.S)


if __name__ == "__main__":  # after a change of what commands print: python tests/docs/_pages.py, then read the diff
    for page in ("README.md", "README.tr.md"):
        (ROOT / page).write_text(renewed(read(page)), encoding="utf-8")
