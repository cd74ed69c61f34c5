"""Pins which model of a server is asked: the base by its name, a trained one by folder or digest.

Run: python -m pytest tests/engines/test_served_model.py
"""

import hashlib
import json
import re

import pytest

from rft.engines import engine_identity, open_engine
from rft.errors import RFTError
from rft.prompt import prompter
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from rft.runs.models import MARK, ModelRef
from rft.sampling.plan import Plan
from tests.fake_server import TINY, TOKENIZER, engine, one_line, requests, run


def test_a_model_that_is_not_served_is_told_with_those_that_are(serve):
    fake = serve(models=[{"id": "other\x1b[2J"}, {"id": "another"}, {"no": "id"}, None])
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert "no model tiny, but other [2J, another; set engine.served_model" in one_line(caught)
    engine(fake, served_model="another")


def trained(folder, content="1") -> ModelRef:
    """Make what tells a folder to be a model of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    (folder / MARK).write_text(json.dumps({"digest": digest}))
    return ModelRef(str(folder), digest)


def of(model: ModelRef) -> str:
    """Name a model after its content."""
    return f"rft-{model.digest[:12]}"


def test_a_trained_model_is_found_by_its_folder_or_digest_and_asked_for_by_that_name(
    serve, tmp_path
):
    one = trained(tmp_path / "models" / "model-0001")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "models")
    base = {"id": "tiny", "root": "/models/tiny"}
    for listed, name in [
        ({"id": "any", "root": one.path}, "any"),
        ({"id": "tiny", "root": f"{link}/../models/model-0001/"}, "tiny"),
        ({"id": of(one), "root": one.path}, of(one)),
        ({"id": of(one)}, of(one)),
        ({"id": of(one), "root": "/on/another/machine"}, of(one)),
    ]:
        others = [] if name == "tiny" else [base]
        fake = serve(models=[*others, {"id": "odd", "root": "\0"}, {"id": "x", "root": 3}, listed])
        made = engine(fake, model=one, served_model="tiny")
        assert len(run(made, requests(2))) == 2
        assert {call.body["model"] for call in fake.calls} == {name}
        assert made.figures()["served_model"] == name


def test_a_trained_model_that_is_not_served_is_refused_whatever_the_recipe_names(serve, tmp_path):
    one = trained(tmp_path / "a model" / "model-0001")
    two = trained(tmp_path / "a model" / "model-0002", "2")
    for listed in [
        [],
        [{"id": "tiny"}],
        [{"id": "tiny", "root": "/models/tiny"}, {"id": "model-0001", "root": "model-0001"}],
        [{"id": "tiny", "root": two.path}],
        [{"id": of(two), "root": two.path}],
        [{"id": of(two), "root": one.path}],  # loaded before that folder's model was made anew
        [{"id": of(one), "root": two.path}],
        [{"id": "tiny\x1b[2J" * 50, "root": "/x\n" * 500}] * 9,
    ]:
        fake = serve(models=listed)
        with pytest.raises(RFTError) as caught:
            engine(fake, model=one, served_model="tiny")
        text = " ".join(str(caught.value).split())
        assert text == str(caught.value), "one line"
        assert text.isprintable()
        assert one.path in text
        assert "run again" in text
        if of(one) not in {each["id"] for each in listed}:
            port = fake.url.split(":")[2].split("/")[0]
            command = f"`vllm serve '{one.path}' --served-model-name {of(one)} --port {port}`"
            assert command in text
            assert (listed[0]["root"][:2] if listed and "root" in listed[0] else "") in text
        assert not fake.calls


def test_the_base_goes_by_its_name_unless_a_trained_model_is_served_under_it(serve, tmp_path):
    one = trained(tmp_path / "models" / "model-0001")
    for root in ["/models/tiny", "owner/tiny", "\0", None, 3, str(tmp_path)]:
        engine(serve(models=[{"id": "tiny", "root": root}]))
    with pytest.raises(RFTError) as caught:
        engine(serve(models=[{"id": "tiny", "root": one.path}]))
    assert f"the server's tiny is {one.path}" in str(caught.value)
    (tmp_path / "models" / "model-0001" / MARK).write_text("{")
    engine(serve(models=[{"id": "tiny", "root": one.path}]))


def test_the_runs_own_models_are_never_taken_for_the_base(serve, tmp_path):
    base, fake = ModelRef(str(TINY), "0" * 64), serve(models=[{"id": "tiny"}])
    how = [f"engine={{kind: server, url: '{fake.url}', served_model: tiny}}"]
    begun = Run(tmp_path / "run", load_recipe("smoke", how))
    prompts = prompter(TOKENIZER, begun.recipe.prompt)
    elsewhere = trained(tmp_path / "other" / "models" / "model-0003")
    one = trained(begun.model_folder(1))
    foreign = begun.path / "models" / "downloaded"
    foreign.mkdir()

    def opened(model):
        return open_engine(Plan(begun, "sample", 2, model, prompts, begun.recipe.sample, ()), 0)

    for model in (base, elsewhere, ModelRef(str(foreign), "0" * 64)):
        assert opened(model).figures()["served_model"] == "tiny"
    with pytest.raises(RFTError, match="vllm serve"):
        opened(one)
    fake.models.append({"id": of(one)})
    assert opened(one).figures()["served_model"] == of(one)


def test_what_is_asked_of_whom_is_in_the_key_and_where_is_not():
    def identity(*settings):
        return engine_identity(load_recipe("smoke", settings))

    def server(url="http://a/v1", **settings):
        return identity(f"engine={json.dumps({'kind': 'server', 'url': url, **settings})}")

    plain = server()
    assert plain == {"kind": "server", "served_model": "bundled:tiny"}
    assert server("http://b/v1", args={"concurrency": 3, "api_key_env": "KEY"}) == plain
    assert server(served_model="other") == plain | {"served_model": "other"}
    assert server(args={"top_logprobs": 5}) == plain | {"top_logprobs": 5}
    assert identity() == {"kind": "transformers"}
    assert identity("engine={kind: vllm, args: {dtype: half}}") == {"kind": "vllm", "dtype": "half"}


def test_a_context_that_is_too_short_is_told_at_once(serve):
    fake = serve(models=[{"id": "tiny", "max_model_len": 255}])
    with pytest.raises(RFTError) as caught:
        engine(fake, longest=256)
    assert re.search("255.*256.*max_tokens.*--max-model-len", one_line(caught))
    engine(fake, longest=255)
