"""What the tests of the doctor share: a child that is asked something else."""

import pytest

from rft.doctor import facts as looking


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Put another question to the child than the one that is built in."""

    def put(code, limit=20.0):
        (tmp_path / "question.py").write_text(code)
        monkeypatch.setattr(looking, "ASK", tmp_path / "question.py")
        return looking.ask({}, limit)

    return put
