"""A hub on this machine's loopback, with the five endpoints that sending and fetching a folder use."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """Repositories as file names and bytes. ``token``: who may write; None: nobody is asked."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.url = ""

    def commit(self, repo: str) -> str:
        parts = [name.encode() + data for name, data in sorted(self.repos[repo].items())]
        return hashlib.sha1(b"\0".join(parts)).hexdigest()


@contextlib.contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def tell(self, value: Any, status: int = 200) -> None:
            self.reply(status, json.dumps(value).encode(), Content_Type="application/json")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            path = self.path.partition("?")[0]
            hub.asked.append(f"POST {path}")
            if hub.token is not None and self.headers.get("authorization") != f"Bearer {hub.token}":
                self.tell({"error": "Invalid username or password."}, 401)
            elif path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                hub.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
                hub.repos.setdefault(name, {})
                self.tell({"url": f"{hub.url}/{name}", "name": name})
            elif path == "/api/validate-yaml":
                self.tell({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = [{**row, "uploadMode": "regular", "shouldIgnore": False} for row in json.loads(body)["files"]]
                self.tell({"files": files})
            elif "/commit/" in path:
                repo = path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        assert line["value"]["encoding"] == "base64"
                        hub.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self.tell({"commitUrl": f"{hub.url}/{repo}/commit/{hub.commit(repo)}", "commitOid": hub.commit(repo)})
            else:
                self.tell({"error": "not found"}, 404)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            if path.startswith("/api/models/"):
                repo, _, rest = path.removeprefix("/api/models/").partition("/revision/")
                repo, _, tree = repo.partition("/tree/")
                if repo not in hub.repos:
                    headers = {"X_Error_Code": "RepoNotFound", "X_Error_Message": "Repository not found"}
                    self.reply(404, b"{}", **headers)
                elif tree:
                    files = [{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                             for name, data in hub.repos[repo].items()]  # fmt: skip
                    self.tell(files)
                else:
                    siblings = [{"rfilename": name} for name in hub.repos[repo]]
                    self.tell({"id": repo, "sha": hub.commit(repo), "siblings": siblings, "private": True, "tags": []})
                return
            repo, _, rest = path.removeprefix("/").partition("/resolve/")
            data = hub.repos.get(repo, {}).get(rest.partition("/")[2])
            if data is None:
                self.reply(404, b"", X_Error_Code="EntryNotFound")
                return
            self.reply(200, data, ETag=f'"{hashlib.sha1(data).hexdigest()}"', X_Repo_Commit=hub.commit(repo))

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
