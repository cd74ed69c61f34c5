"""Push a run to the Hugging Face Hub: a data set and, where asked, its model, a commit for each.

What is pushed is what export.py writes. Only what differs from the repository is sent, and what
somebody else put there stays.
"""

import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.readers.contents import Say, Wanted, look_over, write_data, write_model_card
from pipelines.readers.mark import MARK, Ids, identity, ids_of, mark_text, read_mark
from rft.errors import Interrupted, RFTError
from rft.hub import LOG_IN, pushing
from rft.licence_ids import refuse_unknown
from rft.processes.stopping import Stop
from rft.runs.folder import Run

# The Hub puts it into every new repository.
GIVEN = ".gitattributes"


@dataclass(frozen=True)
class Remote:
    """A repository as it is on the Hub; one that is not there yet has no head."""

    name: str
    kind: str
    head: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    """What stands for the content of each file: the sha256 of a large one, else git's sha1."""
    ours: dict[str, Ids] = field(default_factory=dict)
    """What the last push of this run wrote."""
    private: bool | None = None
    """Whether it is private; None where it is not there yet."""

    @property
    def asked(self) -> dict[str, Any]:
        """Name the repository as the client wants it."""
        return {"repo_id": self.name, "repo_type": self.kind}

    def url(self, endpoint: str) -> str:
        """Give the address of its page."""
        return f"{endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"


@dataclass(frozen=True)
class Change:
    """What a commit would do to a repository, by path."""

    added: list[str]
    changed: list[str]
    deleted: list[str]

    def __bool__(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.added or self.changed or self.deleted)

    def __str__(self) -> str:
        """Say it in words."""
        todo = {"add": self.added, "change": self.changed, "delete": self.deleted}
        parts = [f"{len(paths)} to {what}" for what, paths in todo.items() if paths]
        return f"files: {', '.join(parts)}" if parts else "nothing to push, it holds all of it"


def publish_run(
    run: Run,
    *,
    repo: str,
    public: bool,
    license_id: str | None,
    token_stats: bool,
    model_repo: str | None,
    say: Say,
    stop: Stop,
) -> list[str]:
    """Push the data set and, if a model's repository is named, the last adopted model into that.

    Gives the addresses of the repositories. What blocks is done in a thread, so that a stop is
    heard at once: each repository is pushed whole or not at all.
    """
    if license_id is None:
        train = run.recipe.prepare.benchmarks("train").values()
        stated = ", ".join(dict.fromkeys(each.license for each in train if each.license))
        raise RFTError(
            "--repo needs --license: data without one is nobody's to use, and what the problems "
            f"are under decides{f' (the recipe says {stated})' if stated else ''}; e.g. --license "
            "apache-2.0"
        )
    refuse_unknown(license_id)
    for name in (repo, model_repo):
        if name is not None:
            refuse_malformed(name)
    wanted = look_over(
        run, license_id=license_id, token_stats=token_stats, with_model=model_repo is not None
    )
    with tempfile.TemporaryDirectory(prefix="rft-export-", ignore_cleanup_errors=True) as scratch:
        push = _Push(wanted, Path(scratch), public, say)
        return heard(stop, lambda: push.all(repo, model_repo))


def refuse_malformed(name: str) -> None:
    """Refuse what cannot be a repository's name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
        whole = name.count("/") == 1
    except HFValidationError:
        whole = False
    if not whole:
        raise RFTError(
            f"{name!r} is no repository's name; write ORG/NAME, or your own name for ORG: letters, "
            "digits, - _ . (no -- or .., no - or . at an end), at most 96 of them in NAME"
        )


def heard(stop: Stop, work: Callable[[], list[str]]) -> list[str]:
    """Do work that blocks, unless a stop is asked for meanwhile."""
    result: list[str] = []
    failed: list[BaseException] = []

    def target() -> None:
        try:
            result.extend(work())
        except BaseException as error:  # noqa: BLE001  # raised again, where it is waited for
            failed.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if stop.asked():
            raise Interrupted(
                f"stopped by {stop.reason} while pushing; each repository is pushed whole or not"
            )
    if failed:
        raise failed[0]
    return result


class _Push:
    """One push: the client, what is wanted, and a folder for what has to be written first."""

    def __init__(self, wanted: Wanted, scratch: Path, public: bool, say: Say):
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        # What it tries again it would warn of, line by line.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        if not sys.stderr.isatty():
            disable_progress_bars()
        self.wanted, self.scratch, self.public, self.say = wanted, scratch, public, say
        self.api = HfApi()

    def all(self, repo: str, model_repo: str | None) -> list[str]:
        """Look at everything, write everything, and push one repository after the other."""
        self.refuse_reader(repo)
        remotes = [self.look(repo, "dataset")]
        if model_repo is not None:
            remotes.append(self.look(model_repo, "model"))
        for remote in remotes:
            if remote.private is self.public:
                self.say(
                    f"warning: {remote.name} is {'private' if remote.private else 'public'} and "
                    "stays so; its settings on the Hub change that"
                )
        data, command = self.scratch / "data", self.wanted.command(f"--repo {repo}", with_model="")
        facts = write_data(self.wanted, data, opens=f'"{repo}"', command=command, say=self.say)
        head = self.push(remotes[0], files_below(data))
        if model_repo is not None:
            self.push(remotes[1], self.model_files(remotes, data, facts, head))
        return [remote.url(self.api.endpoint) for remote in remotes]

    def model_files(
        self, remotes: list[Remote], data: Path, facts: dict[str, Any], head: str
    ) -> dict[str, Path]:
        """Write the model's card, which links the very data; the weights stay where they are."""
        repo, model_repo = (remote.name for remote in remotes)
        folder = self.scratch / "model"
        folder.mkdir()
        url = f"{remotes[0].url(self.api.endpoint)}/tree/{head}"
        name = "" if model_repo == f"{repo}-model" else f" {model_repo}"
        licensed = write_model_card(
            self.wanted,
            data,
            folder,
            facts,
            command=self.wanted.command(f"--repo {repo}", with_model=f" --model{name}"),
            link=f"The data is [{repo}]({url}), at commit `{head[:12]}`.",
            repo=repo,
        )
        if not licensed:
            self.say("warning: the base states no licence, so neither does the model card")
        return files_below(self.wanted.weights) | files_below(folder)

    def refuse_reader(self, repo: str) -> None:
        """Refuse a token that cannot write, before anything is written here."""
        from huggingface_hub import get_token

        if get_token() is None:
            raise RFTError(f"{repo}: there is no token for {self.api.endpoint}; {LOG_IN}")
        with pushing(repo):
            about = self.api.whoami()
        token = (about.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            raise RFTError(f"{repo}: the token may only read; one that may write: {LOG_IN}")

    def look(self, name: str, kind: str) -> Remote:
        """Look at a repository, and refuse one that is not an export of this run."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RepositoryNotFoundError

        empty = Remote(name, kind)
        with pushing(name):
            try:
                about = self.api.repo_info(**empty.asked)
            except RepositoryNotFoundError:
                return empty
            tree = self.api.list_repo_tree(**empty.asked, revision=about.sha, recursive=True)
            files = {
                each.path: each.lfs.sha256 if each.lfs else each.blob_id
                for each in tree
                if isinstance(each, RepoFile)
            }
            ours = self.read_mark(empty, about.sha) if MARK in files else None
        if ours is None and set(files) - {GIVEN}:
            raise RFTError(
                f"{name}: not empty, and not an export of `rft export`; choose another repository"
            )
        for path, ids in (ours or {}).items():
            if path != GIVEN and path in files and files[path] not in ids:
                raise RFTError(edited(name, path))
        return Remote(name, kind, about.sha, files, ours or {}, bool(about.private))

    def read_mark(self, remote: Remote, head: str | None) -> dict[str, Ids]:
        """Read what the last push wrote, and refuse another run's."""
        path = self.api.hf_hub_download(**remote.asked, filename=MARK, revision=head)
        try:
            owner, files = read_mark(Path(path).read_bytes())
        except ValueError:
            raise RFTError(f"{remote.name}: its {MARK} cannot be read; restore it there") from None
        if owner != identity(self.wanted.run):
            raise RFTError(f"{remote.name}: an export of another run; choose another repository")
        return files

    def push(self, remote: Remote, files: dict[str, Path]) -> str:
        """Make the repository hold these files by one commit, and give the commit that has them."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, RepoCard, RepoFile

        ids = {name: ids_of(path) for name, path in files.items()}
        mark = self.scratch / f"{remote.kind}-{MARK}"
        mark.write_text(mark_text(self.wanted.run, ids))
        ids[MARK] = ids_of(mark)
        change = difference(remote, ids)
        self.say(f"push: {remote.name}: {change}")
        with pushing(remote.name):
            if not change:
                told = self.api.get_paths_info(
                    remote.name, MARK, expand=True, repo_type=remote.kind
                )
                commits = [each.last_commit for each in told if isinstance(each, RepoFile)]
                return next(commit.oid for commit in commits if commit is not None)
            # Asked before there is a repository: a card that the Hub refuses leaves none behind.
            RepoCard(files["README.md"].read_text()).validate(repo_type=remote.kind)
            head = remote.head or self.create(remote)
            operations: list[CommitOperationAdd | CommitOperationDelete] = [
                CommitOperationDelete(name) for name in change.deleted
            ]
            for name in sorted(change.added + change.changed):
                operations.append(addition := CommitOperationAdd(name, files.get(name, mark)))
                addition.upload_info.sha256 = bytes.fromhex(ids[name][0])  # not hashed again
            title = f"rft export of {self.wanted.run.path.resolve().name}"
            made = self.api.create_commit(
                **remote.asked, operations=operations, commit_message=title, parent_commit=head
            )
        self.say(f"push: {remote.name}: commit {made.oid[:12]}")
        return str(made.oid)

    def create(self, remote: Remote) -> str | None:
        """Make the repository, and give its first commit."""
        self.api.create_repo(**remote.asked, private=not self.public)
        return self.api.repo_info(**remote.asked).sha


def difference(remote: Remote, wanted: dict[str, Ids]) -> Change:
    """Tell what has to change, and refuse to lose what somebody else changed by hand."""
    added, changed = [], []
    for name, ids in wanted.items():
        if name not in remote.files:
            added.append(name)
        elif remote.files[name] not in ids:
            changed.append(name)
    for name in changed:
        if name != MARK and name not in remote.ours:
            raise RFTError(edited(remote.name, name))
    gone = [name for name in remote.ours if name not in wanted and name in remote.files]
    return Change(added, changed, gone)


def edited(repo: str, path: str) -> str:
    """Say that somebody else's work would be lost, and how to keep it."""
    return (
        f"{repo}: {path} was written there by hand, which a push would lose; keep it there under "
        f"another name, delete {path}, and push again"
    )


def files_below(folder: Path) -> dict[str, Path]:
    """List a folder's files by their paths in it."""
    paths: Iterable[Path] = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path for path in paths if path.is_file()}
