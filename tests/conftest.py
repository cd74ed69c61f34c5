"""What all tests share: how much of the machine one of them takes."""

import gc
import os

# Models of tests are so small that a second thread costs more than it brings, while a second
# process (`-n 2` in the Makefile) brings a whole core. Before torch is imported, and for children.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def pytest_collection_finish() -> None:
    """Take what is imported out of the garbage collector's rounds: a training makes several."""
    gc.freeze()
