"""An ONNX artifact behind HTTP: images in, classes or boxes out; everything a client can use up is bounded."""

from otoyol.serve.app import make_app
from otoyol.serve.engine import Engine, open_engine
from otoyol.serve.limits import Limits
from otoyol.serve.metrics import Metrics
from otoyol.serve.server import serve
from otoyol.serve.service import Service

__all__ = ["Engine", "Limits", "Metrics", "Service", "make_app", "open_engine", "serve"]
