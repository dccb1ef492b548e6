"""otoyol completion: the shell's completion script, printed or installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from otoyol.cli.options import option
from otoyol.errors import OtoyolError

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, option("shell")], /) -> None:
    from otoyol.cli.main import make_app

    sys.stdout.write(make_app().generate_completion(shell=shell))


def install_completion(
    *,
    shell: Annotated[Shell | None, option("shell", "--shell")] = None,
    out: Annotated[Path | None, option("completion_out", "--out", "-o")] = None,
) -> None:
    from cyclopts.completion.detect import ShellDetectionError

    from otoyol.cli.main import make_app

    try:
        path = make_app().install_completion(shell=shell, output=out, add_to_startup=out is None)
    except ShellDetectionError:
        raise OtoyolError("the shell could not be told; name it with --shell bash, zsh or fish") from None
    except OSError as error:
        raise OtoyolError(f"cannot write the completion script: {error.strerror}") from None
    sys.stdout.write(f"{path}\n")
