"""Pins what ranking needs recorded, by the table of orders, and that an order is one row of it."""

from rft.recipe.loading import load_recipe
from rft.selection.ranking import may_lack, ranked_by


def needed(*overrides: str) -> bool:
    return may_lack(load_recipe("smoke", overrides))


def test_scoring_is_needed_only_where_rows_are_ranked_by_what_they_may_lack():
    replay = ("engine.kind=replay", "engine.path=x")
    assert not needed("select.by=entropy")
    assert not needed("select.by=perplexity", "sample.statistics.entropy=false")
    assert not needed("select.by=random", *replay)
    assert not needed("select.by=random", "select.noise_by=entropy", "select.noise=0", *replay)
    assert needed("select.by=random", "select.noise_by=entropy", *replay)
    assert needed("select.by=perplexity", *replay)
    assert needed("select.by=entropy", "engine={kind: server, url: http://x/v1}")
    assert needed("select.by=branching", "sample.statistics.branching=false")
    off = ("sample.statistics.branching=false", "sample.statistics.entropy=false")
    assert needed("select.by=perplexity", *off)
    assert not needed("select.by=random", *off)


def test_rows_that_have_no_role_are_ranked_by_nothing():
    by = {"select.by": "entropy", "select.noise_by": "branching"}
    named = [f"{key}={value}" for key, value in by.items()]

    def ranked(*more: str) -> dict[str, str]:
        return ranked_by(load_recipe("smoke", [*named, *more]).select)

    assert ranked() == {"correct": "mean_entropy", "wrong": "mean_branching"}
    assert ranked("select.noise=0") == {"correct": "mean_entropy"}
    assert ranked("select.noise=1") == {"wrong": "mean_branching"}
    assert ranked("select.by=random") == {"wrong": "mean_branching"}
