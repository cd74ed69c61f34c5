"""Pushes of runs to the Hub of a test."""

import pytest

from pipelines.readers.publish import publish_run
from rft.processes.stopping import Stop

both_ways = pytest.mark.parametrize("hub", ["xet", "lfs"], indirect=True)


def push(run, repo="org/d", **options):
    said = []
    given = {"public": False, "license_id": "apache-2.0", "token_stats": True, "model_repo": None}
    given["say"] = said.append
    publish_run(run, repo=repo, stop=Stop(), **given | options)
    return said
