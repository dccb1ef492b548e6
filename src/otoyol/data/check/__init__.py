"""check_data(PATH): what is wrong with a data set before anything is trained on it."""

from __future__ import annotations

from otoyol.data.check.findings import Checked, Finding
from otoyol.data.check.run import check_data

__all__ = ["Checked", "Finding", "check_data"]
