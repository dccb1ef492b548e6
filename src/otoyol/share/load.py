"""otoyol.load(path): a spec from a file, a network with its weights from a shared folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def load(path: str | os.PathLike[str]) -> Any:
    """What stands at ``path``: the :class:`otoyol.Spec` of a YAML, TOML or JSON file, or the network of a folder that
    `otoyol share` has written: built, with its weights, in evaluation mode (a detector where the folder says so).

    A folder is checked first (:func:`otoyol.share.read_folder`), weights are loaded strictly, nothing is unpickled.
    Raises SpecError and WeightsError.
    """
    if Path(path).is_dir():
        from otoyol.share.folder import read_folder
        from otoyol.share.network import network

        return network(read_folder(path))
    from otoyol.spec import load as load_spec

    return load_spec(path)
