"""What datatrove takes for the same texts, in an environment of its own: asked by cleaning.py.

Of its packages and nothing of ours. It reads texts from a file, and then names of arms from
standard input; of each it answers with the seconds it took and the places of the texts it found.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
from datatrove.utils.logging import logger
from datatrove.utils.text import ngrams, simplify_text


def found(keep: Callable[[Document], object], texts: list[str]) -> list[int]:
    """Give the places of the texts that a filter does not keep."""
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    return [number for number, each in enumerate(documents) if keep(each) is not True]


def decontaminating(references: list[str], run: int, folder: Path) -> NGramsDecontFilter:
    """Index references, as its indexer does: that one asks for lighteval's tasks as well."""
    made = NGramsDecontFilter(str(folder), NGramsDecontConfig(n_grams=run, find_query_ngrams=True))
    hashes = set()
    for text in references:
        words = made.tokenizer.word_tokenize(simplify_text(text, made.config.norm_config))
        hashes |= {made.hash_func(" ".join(each)) for each in ngrams(words, run)}
    kind = made.config.hash_config.np_descr
    np.array(sorted(hashes), dtype=kind).tofile(folder / "references.index.hashes")
    return made


def main() -> None:
    """Do an arm as often as it is asked for."""
    logger.remove()
    given = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as place:
        repeated = GopherRepetitionFilter()
        repeated.filter(Document(text="its tokenizer is loaded now", id=""))
        for line in sys.stdin:
            began = time.perf_counter()
            if line.strip() == "repetition":
                told = found(repeated.filter, given["answers"])
            else:
                made = decontaminating(given["references"], int(sys.argv[2]), Path(place))
                told = found(made.filter, given["questions"])
            print(json.dumps([time.perf_counter() - began, told]), flush=True)


if __name__ == "__main__":
    main()
