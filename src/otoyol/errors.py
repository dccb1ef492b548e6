"""Every error that Otoyol raises on purpose.

OtoyolError
├── SpecError          a description is malformed or impossible (field, what was given, what is allowed)
├── WeightsError       a checkpoint does not fit a design (key, shapes, meaning)
├── TrainingError      a design cannot be trained as asked (the loss is not finite, the memory does not suffice)
└── MissingExtraError an optional dependency is needed and absent

The command line prints the message and leaves with status 2; a traceback is always a bug.
"""


class OtoyolError(Exception):
    """Base of all deliberate errors."""


class SpecError(OtoyolError):
    """A description is malformed or impossible.

    Attributes: ``field`` (dotted path), ``given`` (what was there), ``allowed`` (a phrase).
    """

    def __init__(self, field: str, given: object, allowed: str) -> None:
        self.field, self.given, self.allowed = field, given, allowed
        super().__init__(f"{shown(field)}: got {shown(given)}; allowed: {allowed}")


def shown(value: object) -> str:
    """At most 80 printable characters of whatever came in."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, data nested a thousand deep
        text = f"{type(value).__name__} that cannot be shown"
    text = text if len(text) <= 80 else text[:77] + "..."
    return text if text and text.isprintable() else ascii(text)


class WeightsError(OtoyolError):
    """A checkpoint does not fit a design; the message names keys, shapes and differences in meaning."""


class TrainingError(OtoyolError):
    """A design cannot be trained as asked: its loss is no longer finite, or the memory does not suffice."""


class MissingExtraError(OtoyolError):
    """An optional dependency is absent; the message says what to install."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed; install it with: pip install 'otoyol[{extra}]'")
