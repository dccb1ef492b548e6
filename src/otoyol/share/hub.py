"""The Hugging Face hub: a shared folder out, and in; its client is loaded only then."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otoyol.errors import MissingExtraError, OtoyolError, SpecError
from otoyol.share.folder import FILES, Folder, read_folder

CLIENTS = ("httpx", "httpx2", "requests")  # what one version or another of the client sends with
HINTS = {
    401: "; there is no such repository, or it needs a token (`hf auth login`, or HF_TOKEN)",
    403: "; the token is not allowed to",
    404: "; is there such a repository and revision?",
}


def push(path: str | os.PathLike[str], repo: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Send a shared folder to the repository ``repo`` (``name/model``), made where it does not exist; the commit's
    address. ``endpoint``: another hub than ``HF_ENDPOINT`` says. The token is the client's own affair (``HF_TOKEN``).

    The folder is checked as :func:`otoyol.load` would, so that nothing is sent that nobody could load. Raises
    OtoyolError.
    """
    folder = read_folder(path)
    api = _api(endpoint)
    with _told(repo):
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder.path, allow_patterns=list(FILES), commit_message="Share by Otoyol"
        )
    return str(commit.commit_url)


def pull(
    repo: str, path: str | os.PathLike[str], *, revision: str | None = None, endpoint: str | None = None
) -> Folder:  # fmt: skip
    """Fetch the repository ``repo`` into the folder ``path``, which must not exist yet: only the files that a shared
    folder has, and only if they pass its checks. Raises OtoyolError; nothing is left behind then."""
    out = Path(path).absolute()
    if out.exists() or out.is_symlink():
        raise SpecError("out", str(out), "a folder that does not exist yet")
    if not out.parent.is_dir():
        raise OtoyolError(f"cannot write {out}: {out.parent} is no folder")
    api = _api(endpoint)
    with _aside(out) as folder:
        with _told(repo):
            api.snapshot_download(repo, revision=revision, local_dir=folder, allow_patterns=list(FILES))
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes about the download
        read_folder(folder)
        folder.chmod(0o755)
        folder.replace(out)
    return read_folder(out)


def _api(endpoint: str | None) -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    return HfApi(endpoint=endpoint)


@contextlib.contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that is gone afterwards, unless it was moved."""
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _told(repo: str) -> Iterator[None]:
    """The client's errors as ours, in one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError:
        raise SpecError("repo", repo, "a name on the hub, such as someone/resnet50-digits") from None
    except errors.OfflineModeIsEnabled:
        raise OtoyolError(f"hub: {repo} is not reached: HF_HUB_OFFLINE is set") from None
    except errors.LocalTokenNotFoundError:
        raise OtoyolError(f"hub: {repo} needs a token: log in with `hf auth login`, or set HF_TOKEN") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = HINTS.get(status, "")
        raise OtoyolError(f"hub: {repo}: the hub answers {status}{hint}") from None
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in CLIENTS:
            raise
        raise OtoyolError(f"hub: {repo} is not reached: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """The first line of the deepest cause: the client wraps errors of the network in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
