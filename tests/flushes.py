"""Which files were flushed to the disk, in order: by their inodes, since names change."""

import os

import pytest


def flushes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note every file that is flushed from now on."""
    flushed: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return flushed
