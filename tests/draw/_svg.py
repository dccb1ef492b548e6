"""Reading SVG text back: what every picture must satisfy, and what it says."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

NS = "{http://www.w3.org/2000/svg}"


def read(svg: str) -> ET.Element:
    """The tree of a well-formed, self-contained, accessible SVG with unique ids."""
    root = ET.fromstring(svg)
    assert root.tag == f"{NS}svg"
    assert root.get("role") == "img"
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {root.find(f"{NS}title").get("id"), root.find(f"{NS}desc").get("id")} == set(
        root.get("aria-labelledby").split()
    )
    assert not [element.tag for element in root.iter() if element.tag in (f"{NS}script", f"{NS}image", f"{NS}use")]
    assert not [name for element in root.iter() for name in element.keys() if name.startswith("on")]  # noqa: SIM118
    addresses = set(re.findall(r"https?://[^\"' )]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    for url in re.findall(r"url\(([^)]*)\)", svg):
        assert url[1:] in ids
    assert "@import" not in svg and "@font-face" not in svg
    left, top, width, height = map(float, root.get("viewBox").split())
    assert (left, top) == (0, 0) and width > 0 and height > 0
    return root


def words(root: ET.Element) -> list[str]:
    """What a reader sees, line by line."""
    return [element.text for element in root.iter(f"{NS}text")]


def tooltips(root: ET.Element) -> dict[str, list[str]]:
    """What each operator's group says when pointed at; CBAM's perceptron runs twice under one name."""
    found: dict[str, list[str]] = {}
    for group in root.iter(f"{NS}g"):
        if group.get("data-op"):
            found.setdefault(group.get("data-op"), []).append(group.find(f"{NS}title").text)
    return found


def marks(root: ET.Element, css: str) -> list[ET.Element]:
    return [element for element in root.iter() if css in (element.get("class") or "").split()]
