"""A stand-in for a Kubernetes cluster: its API over HTTP, as far as Snakemake's executor uses it.

A Job is noted as it was sent and carried out as a process here, with the environment that its
secrets give it, in an empty working folder. Whoever mounts a volume finds it at the same path.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JOBS = r"/apis/batch/v1/namespaces/(?P<namespace>[^/]+)/jobs"
CORE = r"/api/v1/namespaces/(?P<namespace>[^/]+)"


class Cluster:
    """Everything that was asked of the API, and the processes of the jobs."""

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        self.path = path
        self.secrets: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.deleted: set[str] = set()
        self.refused: list[str] = []

    def answer(self, method: str, path: str, query: str, body: Any) -> tuple[int, Any]:
        """Status and body of the answer to a request."""
        if method == "POST" and re.fullmatch(f"{CORE}/secrets", path):
            values = body["data"].items()
            named = {key: base64.b64decode(value).decode() for key, value in values}
            self.secrets[body["metadata"]["name"]] = named
            return 201, body
        if method == "DELETE" and (found := re.fullmatch(f"{CORE}/secrets/(?P<name>.+)", path)):
            del self.secrets[found["name"]]
            return 200, {"kind": "Status", "status": "Success"}
        if method == "POST" and re.fullmatch(JOBS, path):
            self._start(body)
            return 201, body
        if method == "GET" and (found := re.fullmatch(f"{JOBS}/(?P<name>.+)/status", path)):
            return 200, {"metadata": {"name": found["name"]}, "status": self._status(found["name"])}
        if method == "GET" and re.fullmatch(f"{CORE}/pods", path):
            name = re.search(r"job-name%3D([a-z0-9-]+)", query)
            return 200, {"items": [self._pod(name[1])] if name else []}
        if method == "GET" and re.fullmatch(f"{CORE}/pods/(?P<name>.+)/log", path):
            if "previous=True" in query:
                return 400, {"message": "previous terminated container not found"}
            return 200, "what the container printed"
        if method == "DELETE" and (found := re.fullmatch(f"{JOBS}/(?P<name>.+)", path)):
            self.deleted.add(found["name"])
            return 200, {"kind": "Status", "status": "Success"}
        if method == "DELETE" and re.fullmatch(f"{CORE}/pods/(?P<name>.+)", path):
            return 200, {"metadata": {}}
        self.refused.append(f"{method} {path}")
        return 404, {"message": "not part of this stand-in"}

    def _start(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        self.jobs[name] = body
        (container,) = body["spec"]["template"]["spec"]["containers"]
        secrets = {}
        for variable in container["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            secrets[variable["name"]] = self.secrets[reference["name"]][reference["key"]]
        workdir = self.folder / name
        workdir.mkdir()
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*container["command"], *container["args"]], cwd=workdir, stdout=log, stderr=log,
                env={"PATH": self.path, "HOME": str(self.folder), "OMP_NUM_THREADS": "1",
                     "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **secrets},
            )  # fmt: skip

    def _status(self, name: str) -> dict[str, Any]:
        code = self.processes[name].poll()
        if code is None:
            return {"active": 1}
        return {"succeeded": 1} if code == 0 else {"failed": 1}

    def _pod(self, name: str) -> dict[str, Any]:
        code = self.processes[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        status = {"name": "snakemake", "state": state, "ready": True, "restartCount": 0,
                  "image": "", "imageID": ""}  # fmt: skip
        return {"metadata": {"name": f"{name}-pod"}, "status": {"containerStatuses": [status]},
                "spec": {"containers": [{"name": "snakemake"}]}}  # fmt: skip


@contextmanager
def kubernetes_api(path: str) -> Iterator[tuple[Cluster, Path]]:
    """Serve a `Cluster` whose jobs find programs on `path`; yields it and a kubeconfig."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), path)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = Path(folder) / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(server.server_address[1])))
        try:
            yield cluster, config
        finally:
            server.shutdown()
            server.server_close()
            for process in cluster.processes.values():
                process.kill()
                process.wait()


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "a token"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }  # fmt: skip


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path, _, query = self.path.partition("?")
            code, content = cluster.answer(self.command, path, query, body)
            encoded = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_DELETE = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: requests are looked at by the test."""

    return Handler
