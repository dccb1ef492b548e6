"""The workbench page: ``otoyol studio`` serves it on this machine alone.

``make_app()`` is an ASGI application without a state of its own: what a page shows is in its URL and in each question
that it asks, so that any number of copies can stand behind a balancer.
"""

from __future__ import annotations

from otoyol.web.app import make_app
from otoyol.web.guard import LOOPBACK
from otoyol.web.later import Later

__all__ = ["LOOPBACK", "Later", "make_app"]
