"""What goes wrong inside a part, told in one line that names its file and line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rft.errors import RFTError, clipped

# Names of the files whose code runs in this process, as tracebacks have them -> as people have.
FILES: dict[str, str] = {}


def fault_in(error: BaseException) -> str | None:
    """Say where in a part an error came from; None where none of its frames is a part's."""
    if not FILES or isinstance(error, RFTError):
        return None
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        for frame in reversed(frames):
            if frame.filename in FILES:
                said = " ".join(str(error).split())
                what = f"{type(error).__name__}: {said}" if said else type(error).__name__
                if isinstance(error, ModuleNotFoundError):
                    what += "; a part is one file, or an installed package"
                return f"{FILES[frame.filename]}:{frame.lineno}: {clipped(what, 300)}"
        if isinstance(error, SyntaxError) and error.filename in FILES:
            return f"{FILES[error.filename]}:{error.lineno}: {type(error).__name__}: {error.msg}"
        following = error.__cause__ or error.__context__
        if following is None:
            return None
        error = following
    return None


@contextmanager
def told_in_one_line(otherwise: str = "") -> Iterator[None]:
    """Turn what code of a part raises into one line; `otherwise` is its place if no frame is."""
    try:
        yield
    except (RFTError, MemoryError):
        raise
    except Exception as error:
        told = fault_in(error)
        if told is None and otherwise:
            said = clipped(" ".join(str(error).split()), 300)
            told = f"{otherwise}: {type(error).__name__}: {said}"
        if told is None:
            raise
        raise RFTError(told) from None
