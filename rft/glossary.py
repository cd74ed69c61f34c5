"""The glossary: every term of reports and pages, in one or two sentences, for all who show them."""

TERMS: dict[str, str] = {
    "problem": "A question with a known right answer, its gold. Everything is counted by problems: "
    "the answers to one problem are alike, so that many answers to few problems say little.",
    "gold": "The answer that a problem's source says is right, which answers are compared with.",
    "rollout": "One answer of a model to one problem, sampled in a round, with every token that "
    "was drawn.",
    "completion": "All the text that a model wrote in answer to a prompt.",
    "response": "A completion up to the token that closes the box of its answer. Rules, means and "
    "training see this part alone.",
    "box": r"`\boxed{...}`, in which a model is asked to put its final answer.",
    "first box": r"The reading that decides: the first closed `\boxed{...}` that holds an answer "
    "is the answer. Also called strict.",
    "last box": "The reading of most published numbers: the last closed box is the answer. It is "
    "reported, and decides nothing.",
    "lenient": "The kindest reading: right if the first box, the last, or all boxes as a list are; "
    "without a box, what follows “the answer is” or the last number counts.",
    "placeholder": r"A box that answers nothing, such as `\boxed{}` or `\boxed{...}`: the prompt's "
    "form repeated. It is passed over and counted.",
    "verdict": "What came of comparing an answer with the gold: correct, wrong, no_answer, "
    "unparseable, timeout or bad_gold.",
    "verdict path": "How a verdict was reached, for instance as equal text, as numbers, or by "
    "math-verify.",
    "rule": "A named defect that a response may have, such as `redundant`. Rules are applied in "
    "the recipe's order, each to what the ones before it left.",
    "rejected": "Not kept: a rule found its defect. The rule's name stays with the row.",
    "kept": "Passed all rules. Only kept rollouts can be selected.",
    "pool": "The kept rollouts that a selection can choose from.",
    "selected": "Chosen to train on, as a positive or as noise.",
    "positive": "A selected rollout that is there to be learnt from as right: a correct one, "
    "unless the recipe says `verdicts: any`.",
    "noise": "A pinch of wrong answers that pass the rules, selected beside the positives; meant "
    "to keep the model from narrowing.",
    "passed over": "Kept but not selected, with a reason and, if it was ranked, its place in the "
    "order.",
    "rank": "Where a selected rollout stands in its order, 0 the first.",
    "stratum": "One tenth of the pool by length. With `strata: length` rollouts are ranked within "
    "their own tenth, so that short guesses do not come first everywhere.",
    "funnel": "What became of the rollouts of a round, stage by stage: sampled, graded, kept, "
    "selected. At each step what goes in equals what comes out plus what was dropped by name.",
    "accepted": "Correct and passing all rules: fit to be a positive.",
    "tokens per accepted": "How many tokens were sampled for each accepted rollout: the price of "
    "one usable sample.",
    "cut at the limit": "Ended by the token limit and not by the model. An answer that was cut "
    "before its box closed is no answer.",
    "entropy": "How undecided the model is about its next token, in nats, over its whole "
    "vocabulary at temperature 1: 0 is certainty, 0.69 a fair choice between two tokens. That of a "
    "response is the mean over its tokens.",
    "branching factor": "How many tokens it takes, from the likeliest down, to hold 95% of the "
    "next token's probability. That of a response is the mean over its tokens.",
    "logprob": "The logarithm of the probability that the model gave to a token: 0 is certain, "
    "-0.69 one in two.",
    "perplexity": "How surprising a response is to the model that gave it: exp of the mean "
    "negative log-probability of its tokens. 1 is no surprise at all.",
    "redundancy": "The share of a response's runs of three words that repeat an earlier one: "
    "1 - distinct/total.",
    "statistics' origin": "Where entropy and branching come from: recorded while sampling "
    "(engine), computed afterwards (scored), both exact; or told from a server's likeliest tokens "
    "(topk), which is too low.",
    "pass rate": "The share of a problem's answers in a round that are right. Where sampling "
    "stopped at success it is corrected for that.",
    "difficulty": "How rarely a problem is solved: 1 - pass rate.",
    "Pass@1": "The chance that one answer of the model is right, as a mean over problems.",
    "Pass@k": "The chance that at least one of k answers to a problem is right, as a mean over "
    "problems, estimated without bias from n samples of each.",
    "maj@k": "The chance that the answer given most often among k is right. It tells whether the "
    "model mostly knows, where Pass@k tells whether it ever does.",
    "distinct answers": "How many different answers a model gives to a problem; all right ones "
    "count as one.",
    "answer entropy": "How evenly a model's answers to a problem are spread over the different "
    "ones, in nats: 0 if they are all the same. It is of answers, not of tokens.",
    "interval": "The range in which the true value lies in 95 of 100 cases. It is over problems, "
    "and over seeds as well where there are several: what another such test would come to.",
    "paired difference": "The difference of two models on the same problems, problem by problem. "
    "What makes a problem hard for both cancels, so it is surer than two intervals side by side.",
    "cannot tell": "The interval of a difference holds 0, so that neither model is shown to be "
    "better. It does not say that they are equal.",
    "dev": "The problems by which decisions are made, such as the gate's. Never trained on.",
    "test": "The problems that are only reported. Nothing decides by them, and nothing is trained "
    "on them.",
    "benchmark": "A named set of test problems, such as `math500`. It has scores of its own.",
    "gate": "The decision after each round whether the new model is adopted: it is refused if it "
    "is surely worse on dev than any adopted one.",
    "adopted": "Not refused by the gate. The next round samples from the last adopted model.",
    "format and skill": "The two parts of a gain in Pass@1: format is what more answers in a box "
    "would have brought, each as good as the base's; skill is the rest.",
    "unsolved": "Of all samples of the problem none is right. Another measurement of the same "
    "model leaves others unsolved.",
    "newly solved": "Solved at least once by the new model and never by the base. Some of these "
    "are luck; how many equal models would show is told beside it.",
    "newly lost": "Solved at least once by the base and never by the new model. Some of these are "
    "luck, as with newly solved.",
    "support": "The problems that a model solves at least once in its samples. How much of the "
    "base's is kept says whether tuning narrowed it.",
    "crossover": "The k from which on the base has the higher Pass@k: from there more tries with "
    "the base are worth more than the same number with the new model.",
    "base": "The model that a run begins with, before any training. It is model 0.",
    "model 0": "The base. Model r is what round r made; `RUN@r` names it wherever a model is asked "
    "for.",
    "round": "One turn of the loop: sample, grade, filter, select, fine-tune, evaluate, gate. "
    "Round 0 is the measurement of the base.",
    "stage": "One step of a round with a command of its own, such as `grade`. It reads tables, "
    "writes tables, and is redone only if its key changes.",
    "recipe": "One YAML file with every setting of a run.",
    "run": "A folder with all that came of a recipe: tables, models, manifests, events. Nothing is "
    "kept anywhere else.",
    "key": "A hash of all that a stage's output depends on: its settings and the content of its "
    "inputs. The same key means the same output, which is then used again.",
    "manifest": "The file that says a stage is done: its key, digests of its output, counts, seeds "
    "and versions. It is written last.",
    "digest": "A hash of a file's content, by which it is known whether it is still the same.",
    "stale": "Made under other settings than the recipe has now. `--update` redoes it and moves "
    "the old into the folder `stale/`.",
    "shard": "A file of finished rollouts of one worker, on disk within a minute, so that a kill "
    "loses little.",
    "wave": "A few answers to each problem that are drawn before it is decided whether more are "
    "needed, with `sample.until`.",
    "worker": "A process with an engine of its own that samples part of a round.",
    "engine": "What samples: transformers, vLLM, a server, or recorded rollouts.",
    "preflight": "A look before the first spend: prompt and target are shown, a few probes are "
    "sampled, and a template or end token that does not work is refused.",
    "forecast": "What a run will take, told from the probes: tokens, hours, disk, accepted "
    "samples, with intervals for round 1.",
    "plateau": "None of the last models is surely better on dev than the one before them, so that "
    "the run may end.",
    "seed": "The number from which all chance of a run follows. Another seed is another run of the "
    "same recipe.",
    "arm": "One way of doing it in a comparison: the recipe with a few settings changed.",
    "control": "The arm that the others are held against.",
    "claim": "What would count as support, written into the recipe before the comparison is run.",
    "reward": "What an answer is worth in online training: by default 1 if right and 0 if not.",
    "advantage": "How much better an answer's reward is than those of its group, the answers to "
    "the same problem. Above 0 its tokens are made likelier, below 0 less likely.",
    "no signal": "The share of groups in which all answers have the same reward, so that nothing "
    "is learnt from them.",
    "clipped": "The share of tokens whose probability had moved too far from that at which they "
    "were drawn, so that the step left them alone.",
    "KL": "How far the trained model has moved from a reference, in nats for each token.",
    "plug-in": "A method of the literature that changes what online training learns from, named in "
    "`grpo.plugins`.",
    "provenance": "Where a row comes from: problem, source, licence, prompt, seed, model, verdict. "
    "`rft trace` follows it and checks every file on the way.",
}
