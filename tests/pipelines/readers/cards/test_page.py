"""The YAML of both cards passes the checks that the Hub's own libraries make.

Run: python -m pytest tests/pipelines/readers/cards/test_page.py
"""

import json
from importlib import resources

import pytest
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

from tests.exported_run import export, make_online, make_run


def words(name):
    """Read a list of the Hub's words that `datasets` ships."""
    path = resources.files("datasets.utils.resources") / f"{name}.json"
    return json.loads(path.read_text())


@pytest.fixture(params=[make_run, make_online])
def exported(request, tmp_path):
    export(request.param(tmp_path / "run"), tmp_path / "out", with_model=True, license_id="mit")
    return tmp_path / "out"


def test_the_data_card_passes(exported):
    text = (exported / "README.md").read_text()
    data = DatasetCard(text, ignore_metadata_errors=False).data
    assert DatasetCardData(**data.to_dict()).to_dict() == data.to_dict()
    assert set(data.size_categories) <= set(words("size_categories"))
    creators = words("creators")
    assert set(data.annotations_creators) <= set(creators["annotations"])
    assert set(data.language_creators) <= set(creators["language"])
    assert set(data.language) <= set(words("languages"))
    configs = MetadataConfigs.from_dataset_card_data(data)
    assert configs.get_default_config_name() == data["configs"][0]["config_name"]
    for name, config in configs.items():
        for each in config["data_files"]:
            assert list(exported.glob(each["path"])), name


def test_the_model_card_passes(exported):
    text = (exported.with_name("out-model") / "README.md").read_text()
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert ModelCardData(**data.to_dict()).to_dict() == data.to_dict()
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    assert "model-index" not in text
