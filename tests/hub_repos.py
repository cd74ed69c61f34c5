"""Repositories as tests/fake_hub.py keeps them: commits of files, small or known by their hash."""

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def hexed(raw: bytes) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def files_of_shard(shard: bytes) -> dict[str, str]:
    """Read sha256 -> Xet hash out of the records of a Xet shard."""
    at, names = 48, {}
    while shard[at : at + 32] != b"\xff" * 32:
        flags, entries = struct.unpack("<II", shard[at + 32 : at + 40])
        name, verified, described = hexed(shard[at : at + 32]), flags >> 31, flags >> 30 & 1
        at += 48 * (1 + entries * (1 + verified))
        if described:
            names[hexed(shard[at : at + 32])] = name
            at += 48
    return names


_SHARDS: dict[Path, dict[str, str]] = {}


def known(path: Path) -> dict[str, str]:
    if path not in _SHARDS:
        _SHARDS[path] = files_of_shard(path.read_bytes())
    return _SHARDS[path]


@dataclass(frozen=True)
class Blob:
    """A file of a commit: its bytes, or the sha256 and the size of what the store holds."""

    content: bytes | None = None
    sha256: str = ""
    size: int = 0

    @property
    def oid(self) -> str:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
        return git_id((pointer + f"size {self.size}\n").encode() if self.sha256 else self.content)

    @property
    def length(self) -> int:
        return self.size if self.content is None else len(self.content)

    @property
    def known_as(self) -> str:
        """What tells an uploader that a file has not changed."""
        return self.sha256 or self.oid


@dataclass
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]
    operations: list[tuple[str, str]] = field(default_factory=list)

    @property
    def card(self) -> dict[str, Any] | None:
        """What the front matter of its README says; None without one."""
        readme = self.files.get("README.md")
        parts = (readme.content if readme else b"").decode().split("---\n")
        return yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else None


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # tags and other branches

    def at(self, revision: str) -> Commit | None:
        wanted = self.names.get(revision, revision)
        if wanted in ("main", "HEAD", "None"):
            return self.commits[-1]
        return next((each for each in self.commits if each.oid == wanted), None)

    def last_change(self, path: str) -> Commit:
        """The commit since which a file is as it is now."""
        blob, last = self.commits[-1].files.get(path), self.commits[-1]
        for commit in reversed(self.commits):
            if commit.files.get(path) != blob:
                break
            last = commit
        return last
