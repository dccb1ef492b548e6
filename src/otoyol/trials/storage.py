"""A database for a study: an SQLite file on one machine, PostgreSQL for many."""

from __future__ import annotations

import time
import warnings
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy.engine import URL, make_url

from otoyol.errors import OtoyolError, SpecError

SHAPE = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
CONNECT_SECONDS, LOCK_SECONDS = 10, 60
TRIES = 20  # workers that start together may all find a new database without tables


def open_storage(url: str, grace_seconds: int) -> optuna.storages.RDBStorage:
    """Optuna's storage at ``url``; a running trial silent for ``grace_seconds`` counts as abandoned.

    Raises SpecError for a malformed URL and OtoyolError where no database answers.
    """
    parsed = _parsed(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"pool_pre_ping": True}
    if sqlite:
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    else:  # one time zone for all, since Optuna compares times without one
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS, "options": "-c timezone=utc"}
    text = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna formats it
    for attempt in range(1, TRIES + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = optuna.storages.RDBStorage(
                    text, options, heartbeat_interval=heartbeat_seconds(grace_seconds), grace_period=grace_seconds
                )
            break
        except sqlalchemy.exc.SQLAlchemyError as error:
            if attempt == TRIES or not _made_by_another(error):
                raise OtoyolError(f"trials: cannot use {shown(url)}: {reason(error)}") from None
            time.sleep(0.05 * attempt)
        except RuntimeError as error:  # a study of another release of Optuna
            raise OtoyolError(f"trials: cannot use {shown(url)}: {error}") from None
    if sqlite:
        # SQLite knows no SELECT … FOR UPDATE, on which Optuna relies so that one worker alone takes up a trial.
        sqlalchemy.event.listen(storage.engine, "begin", _begin_immediate)
    return storage


def heartbeat_seconds(grace_seconds: int) -> int:
    """How often a worker says that it is alive: at least three times within the grace, a second at the least."""
    return max(1, min(10, grace_seconds // 3))


def shown(url: str) -> str:
    """The URL without its password."""
    return _parsed(url).render_as_string(hide_password=True)


def reason(error: BaseException) -> str:
    """What the database said, in one line."""
    while error.__cause__ is not None and not isinstance(error, sqlalchemy.exc.DBAPIError):
        error = error.__cause__
    words = str(getattr(error, "orig", None) or error).split("\n")
    return " ".join(words[0].split())


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _made_by_another(error: sqlalchemy.exc.SQLAlchemyError) -> bool:
    return isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise SpecError("storage", url.rpartition("@")[2], SHAPE) from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if (
        parsed.drivername not in ("sqlite", "postgresql+psycopg")
        or not parsed.database
        or parsed.database == ":memory:"
    ):
        raise SpecError("storage", parsed.render_as_string(hide_password=True), SHAPE)
    return parsed
