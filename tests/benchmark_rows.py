"""A few rows of each benchmark that has a name, put on the fake Hub as the table says."""

import json

from rft.problems.benchmarks import BENCHMARKS

# As the golds of each are written, what an answer in another spelling is, and whether it is right.
GOLDS = {
    "aime24": [("073", "73", True), ("204", "205", False)],
    "aime25": [("588", "588", True)],
    "aime26": [(277, "277", True), (60, "6", False)],
    "amc23": [("27.0", "27", True), ("27.0", "27.5", False)],
    "gsm8k": [("48/2 = <<48/2=24>>24 clips.\n#### 1,024", "1024", True)],
    "math500": [
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)", True),
        (r"\frac{14}{3}", r"4\tfrac{2}{3}", True),
        (r"\text{Evelyn}", "Evelyn", True),
    ],
    "minerva": [("4.5e33", r"4.5 \times 10^{33}", True), ("41.8", "48.1", False)],
    "olympiadbench": [(["$\\frac{1}{2}$"], "0.5", True), (["$2,3$"], "3,2", True)],
}


def on_the_hub(hub, name, *, split=None, **renamed):
    """Put a data set there as a row of the table describes it."""
    row = BENCHMARKS[name]
    split, config = split or row.split, row.config or "default"
    rows = []
    for number, (gold, _, _) in enumerate(GOLDS[name], 1):
        made = {row.question: f"Question {number}?", row.gold: gold, "id": number}
        made |= {row.difficulty: number} if row.difficulty else {}
        rows.append({renamed.get(key, key): value for key, value in made.items()})
    files = [{"split": split, "path": f"{split}.jsonl"}]
    card = {"configs": [{"config_name": config, "data_files": files}]}
    if row.config:  # as in GSM8K, which has to be asked for one of two
        card["configs"].append({"config_name": "another", "data_files": files})
    text = "\n".join(map(json.dumps, rows)).encode()
    card = f"---\n{json.dumps(card)}\n---\n".encode()
    hub.put(row.dataset, {f"{split}.jsonl": text, "README.md": card})
