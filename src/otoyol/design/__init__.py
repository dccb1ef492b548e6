"""The main job: from a task, an image size and budgets to a design that is built, timed, compared and explained.

    wish = wish_for("detection", image="3x512x512", budgets=["macs<=10G"])
    result = design(wish)
    write(result, Path("backbone"))

Searching imports no torch; building and timing do.
"""

from otoyol.design.choose import Choice, choose
from otoyol.design.folder import check_free, whole_folder
from otoyol.design.rivals import Rival, equal_by, rivals_of
from otoyol.design.run import NoDesignError, Result, Wish, design, wish_for
from otoyol.design.tasks import TASKS, Task, space_for, unfit_for_detection
from otoyol.design.verify import Built, Setting, Timed, check_installed
from otoyol.design.write import names_written, write

__all__ = [
    "TASKS", "Built", "Choice", "NoDesignError", "Result", "Rival", "Setting", "Task", "Timed", "Wish", "check_free",
    "check_installed", "choose", "design", "equal_by", "names_written", "rivals_of", "space_for",
    "unfit_for_detection", "whole_folder", "wish_for", "write",
]  # fmt: skip
