"""One JSON object a line on standard error; whatever a client sends is escaped in it."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any

LOGGER = logging.getLogger("otoyol.serve")
FIELDS = "fields"


class Lines(logging.Formatter):
    """``{"time", "level", "event", …}``; an exception is named, with its traceback as one string."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """One line, if anybody listens."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={FIELDS: fields})


def begin_logging(every_request: bool) -> None:
    """All of this process's warnings and uvicorn's errors as such lines; ``every_request``: what was answered fine
    too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.captureWarnings(True)
    for name, level in (("otoyol.serve", logging.INFO if every_request else logging.WARNING),
                        ("uvicorn.error", logging.WARNING), ("py.warnings", logging.WARNING)):  # fmt: skip
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
