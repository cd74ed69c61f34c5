"""A Hugging Face Hub on the loopback, in memory: real clients push to it and read from it, offline.

Files go over Xet, whose store is a local folder (`local:///DIR`), or over LFS where a client has
Xet disabled. Faults are put in by order. By hand: `python -m tests.fake_hub PORT DIR`.
"""

import base64
import hashlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_repos import Blob, Commit, Repo, known

TOKENS = {"hf_write": "write", "hf_read": "read"}
NAMESPACES = ("tester", "org")
LFS = (".parquet", ".safetensors", ".bin", ".arrow")
DROP = "cut the connection in the middle of the request"
STORAGE = (
    "Private repository storage limit reached, please upgrade your plan to increase your private "
    "storage limit."
)
EMPTY = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass
class Fault:
    """What happens to the next requests that match: a status, DROP, or silence before a drop."""

    pattern: str
    answer: int | str | float
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class FakeHub:
    """The server: repositories in memory, what is large in a folder, and a list of its requests."""

    def __init__(self, folder: Path, port: int = 0):
        self.folder = folder.resolve()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.uploaded = 0
        (self.folder / "lfs").mkdir(parents=True, exist_ok=True)
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "FakeHub":
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fault(
        self, pattern: str, answer: int | str | float, message: str = "", **more: Any
    ) -> None:
        self.faults.append(Fault(pattern, answer, message, **more))

    def asked(self, pattern: str) -> list[str]:
        return [request for request in self.requests if re.search(pattern, request)]

    def repo(self, name: str, kind: str = "dataset") -> Repo:
        return self.repos[kind, name]

    def files(self, name: str, kind: str = "dataset") -> dict[str, Blob]:
        return self.repo(name, kind).commits[-1].files

    def put(
        self, name: str, files: dict[str, bytes | Path], kind: str = "dataset", **about: bool
    ) -> str:
        """Commit files as somebody else would, making the repository where it is not there."""
        repo = self.repos.setdefault((kind, name), Repo(**about))
        blobs = {}
        for path, given in files.items():
            content = given.read_bytes() if isinstance(given, Path) else given
            if path.endswith(LFS):
                sha256 = hashlib.sha256(content).hexdigest()
                (self.folder / "lfs" / sha256).write_bytes(content)
                blobs[path] = Blob(sha256=sha256, size=len(content))
            else:
                blobs[path] = Blob(content)
        before = repo.commits[-1].files if repo.commits else {}
        return self.commit(repo, "by somebody else", before | blobs).oid

    def commit(self, repo: Repo, title: str, files: dict[str, Blob]) -> Commit:
        listed = {path: blob.oid for path, blob in files.items()}
        content = json.dumps([len(repo.commits), title, listed, id(repo)]).encode()
        repo.commits.append(Commit(hashlib.sha1(content).hexdigest(), title, files))
        return repo.commits[-1]

    def in_xet(self) -> dict[str, str]:
        """List what the Xet store holds: sha256 -> Xet hash."""
        shards = (self.folder / "xet" / "xorbs" / "shards").glob("*.mdb")
        return {name: hash_ for path in shards for name, hash_ in known(path).items()}

    def holds(self, sha256: str) -> bool:
        return (self.folder / "lfs" / sha256).is_file() or sha256 in self.in_xet()


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+?)(?:/(.*))?")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def serve(self) -> None:
        url = urlsplit(self.path)
        self.path_, self.query = unquote(url.path), parse_qs(url.query)
        request = f"{self.command} {self.path_}"
        self.hub.requests.append(request)
        try:
            if self.fails(request):
                return
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.route()
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message}
            headers |= {"X-Error-Code": refused.code} if refused.code else {}
            self.answer(refused.status, {"error": refused.message}, headers)

    def fails(self, request: str) -> bool:
        """Do what was ordered to happen to this request."""
        for fault in self.hub.faults:
            if not fault.times or not re.search(fault.pattern, request):
                continue
            fault.times -= 1
            if isinstance(fault.answer, float):
                time.sleep(fault.answer)
            if isinstance(fault.answer, float | str):
                self.rfile.read(min(1000, int(self.headers.get("Content-Length", 0))))
                self.close_connection = True
                self.connection.close()
                return True
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(int(fault.answer), {"error": fault.message}, fault.headers)
            return True
        return False

    def answer(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        raw = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(raw))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def route(self) -> None:
        if self.path_ == "/api/whoami-v2":
            return self.whoami()
        if self.path_ == "/api/repos/create":
            return self.create()
        if self.path_ == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.path_.startswith("/lfs/"):
            return self.store(self.path_.removeprefix("/lfs/"))
        if BATCH.fullmatch(self.path_):
            return self.batch()
        if match := RESOLVE.fullmatch(self.path_):
            kind = "dataset" if match[1] else "model"
            return self.resolve(kind, match[2], match[3], match[4])
        if match := API.fullmatch(self.path_):
            return self.api(match[1], match[2], match[3] or "")
        raise _Refused(404, f"no such page: {self.path_}")

    # Who asks ---------------------------------------------------------------------------------

    def role(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in TOKENS:
            raise _Refused(401, "Invalid credentials in Authorization header")
        return TOKENS.get(given)

    def whoami(self) -> None:
        role = self.role()
        if role is None:
            raise _Refused(401, "Invalid username or password.")
        orgs = [{"name": name} for name in NAMESPACES[1:]]
        auth = {"accessToken": {"role": role}}
        self.answer(200, {"name": NAMESPACES[0], "type": "user", "orgs": orgs, "auth": auth})

    def may_write(self, name: str) -> None:
        role = self.role()
        if role is None:
            raise _Refused(401, "Invalid username or password.")
        if role != "write":
            raise _Refused(403, "Forbidden: you must use a write token to upload to a repository.")
        if name.split("/")[0] not in NAMESPACES:
            raise _Refused(403, f"You don't have the rights to write to {name}")

    def found_repo(self, kind: str, name: str) -> Repo:
        role, repo = self.role(), self.hub.repos.get((kind, name))
        hidden = repo is not None and repo.private and role is None
        if repo is None or hidden:
            if role is None:
                raise _Refused(401, "Invalid username or password.", "RepoNotFound")
            raise _Refused(404, "Repository not found", "RepoNotFound")
        return repo

    # Repositories -------------------------------------------------------------------------------

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or NAMESPACES[0]}/{asked['name']}"
        kind = asked.get("type", "model")
        self.may_write(name)
        url = f"{self.hub.url}/{'datasets/' * (kind == 'dataset')}{name}"
        if (kind, name) in self.hub.repos:
            return self.answer(409, {"error": "You already created this repo", "url": url})
        repo = self.hub.repos[kind, name] = Repo(private=asked.get("visibility") == "private")
        self.hub.commit(repo, "initial commit", {path: Blob(raw) for path, raw in EMPTY.items()})
        return self.answer(200, {"url": url, "id": name, "name": name})

    def api(self, kind: str, name: str, rest: str) -> None:
        repo = self.found_repo(kind, name)
        verb, _, revision = rest.partition("/")
        if verb == "refs":
            head = repo.commits[-1].oid
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": head}
            return self.answer(200, {"branches": [branch], "tags": [], "converts": []})
        if verb == "tree":
            revision, _, folder = revision.partition("/")
            return self.tree(repo, revision, folder)
        if verb in ("preupload", "commit", "xet-write-token"):
            self.may_write(name)
        commit = repo.at(revision or "main")
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if verb in ("", "revision"):
            siblings = [{"rfilename": path} for path in commit.files]
            about = {"id": name, "sha": commit.oid, "private": repo.private, "gated": repo.gated}
            about |= {"siblings": siblings, "tags": [], "disabled": False, "cardData": commit.card}
            return self.answer(200, about)
        if verb == "paths-info":
            wanted = parse_qs(self.body.decode())["paths"]
            there = [path for path in wanted if path in commit.files]
            return self.answer(200, [self.told(repo, commit, path) for path in there])
        if verb in ("xet-write-token", "xet-read-token"):
            return self.xet_token()
        if verb == "preupload":
            return self.preupload(commit)
        if verb == "commit":
            return self.push(kind, name, repo)
        raise _Refused(404, f"no such page: {self.path_}")

    def told(self, repo: Repo, commit: Commit, path: str) -> dict[str, Any]:
        blob, last = commit.files[path], repo.last_change(path)
        told = {"type": "file", "path": path, "size": blob.length, "oid": blob.oid}
        told["lastCommit"] = {"id": last.oid, "title": "", "date": "2026-01-01T00:00:00.000Z"}
        if blob.sha256:
            told["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
        if blob.sha256 in (hashes := self.hub.in_xet()):
            told["xetHash"] = hashes[blob.sha256]
        return told

    def tree(self, repo: Repo, revision: str, folder: str) -> None:
        commit = repo.at(revision)
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        start = f"{folder}/" if folder else ""
        below = [path for path in sorted(commit.files) if path.startswith(start)]
        if folder and not below:
            raise _Refused(404, f"{folder} does not exist", "EntryNotFound")
        deep = self.query.get("recursive", [""])[0].lower() in ("true", "1")
        parents = {
            start + "/".join(parts[:depth])
            for parts in (path.removeprefix(start).split("/") for path in below)
            for depth in range(1, len(parts) if deep else min(2, len(parts)))
        }
        shown = [path for path in below if deep or "/" not in path.removeprefix(start)]
        folders = [{"type": "directory", "path": each, "oid": "0" * 40} for each in sorted(parents)]
        self.answer(200, folders + [self.told(repo, commit, path) for path in shown])

    # Uploads ------------------------------------------------------------------------------------

    def xet_token(self) -> None:
        expires = int(time.time()) + 3600
        told = {"casUrl": f"local://{self.hub.folder}", "accessToken": "x", "exp": expires}
        headers = {"X-Xet-Cas-Url": told["casUrl"], "X-Xet-Access-Token": "x"}
        self.answer(200, told, headers | {"X-Xet-Token-Expiration": str(expires)})

    def preupload(self, commit: Commit) -> None:
        told = []
        for file in json.loads(self.body)["files"]:
            blob, large = commit.files.get(file["path"]), file["path"].endswith(LFS)
            told.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large or file["size"] > 10 << 20 else "regular",
                    "shouldIgnore": False,
                    "oid": blob.known_as if blob else None,
                }
            )
        self.answer(200, {"files": told})

    def batch(self) -> None:
        told = []
        for each in json.loads(self.body)["objects"]:
            href = {"href": f"{self.hub.url}/lfs/{each['oid']}"}
            there = self.hub.holds(each["oid"])
            told.append(each | ({} if there else {"actions": {"upload": href}}))
        self.answer(200, {"transfer": "basic", "objects": told})

    def store(self, sha256: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise _Refused(400, "not the content that was announced")
        (self.hub.folder / "lfs" / sha256).write_bytes(self.body)
        self.hub.uploaded += len(self.body)
        self.answer(200, {})

    def push(self, kind: str, name: str, repo: Repo) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        files, operations = dict(repo.commits[-1].files), []
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            operations.append((key, value["path"]))
            if key == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                if not self.hub.holds(value["oid"]):
                    raise _Refused(400, f"{value['path']}: its content was not uploaded")
                files[value["path"]] = Blob(sha256=value["oid"], size=value["size"])
            elif files.pop(value["path"], None) is None:
                raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        head = lines[0]["value"]
        if head.get("parentCommit", repo.commits[-1].oid) != repo.commits[-1].oid:
            raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        made = self.hub.commit(repo, head["summary"], files)
        made.operations = operations
        url = f"{self.hub.url}/{'datasets/' * (kind == 'dataset')}{name}/commit/{made.oid}"
        self.answer(200, {"success": True, "commitOid": made.oid, "commitUrl": url})

    # Downloads ----------------------------------------------------------------------------------

    def resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self.found_repo(kind, name)
        if repo.gated:
            raise _Refused(403, f"Access to {name} is restricted; ask for it", "GatedRepo")
        commit = repo.at(revision)
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if path not in commit.files:
            raise _Refused(404, "Entry not found", "EntryNotFound")
        blob = commit.files[path]
        headers = {"ETag": f'"{blob.known_as}"', "X-Repo-Commit": commit.oid}
        headers |= {"X-Linked-Size": str(blob.length), "X-Linked-Etag": f'"{blob.known_as}"'}
        raw, kept = blob.content or b"", self.hub.folder / "lfs" / blob.sha256
        if blob.sha256 and kept.is_file():
            raw = kept.read_bytes()
        elif blob.sha256:
            link = f"{self.hub.url}/api/{kind}s/{name}/xet-read-token/{commit.oid}"
            headers["X-Xet-Hash"] = self.hub.in_xet()[blob.sha256]
            headers |= {"Link": f'<{link}>; rel="xet-auth"', "Content-Length": str(blob.size)}
            if self.command == "GET":
                raise _Refused(501, f"{path} is in the Xet store alone; read it through Xet")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not blob.length:
            return self.answer(200, raw, headers)
        start, end = int(wanted[1]), min(int(wanted[2] or blob.length), blob.length - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{blob.length}"
        return self.answer(206, raw[start : end + 1], headers)


if __name__ == "__main__":
    with FakeHub(Path(sys.argv[2]), int(sys.argv[1])) as serving:
        sys.stdout.write(f"HF_ENDPOINT={serving.url} HF_TOKEN=hf_write\n")
        sys.stdout.flush()
        threading.Event().wait()
