"""The manifests of Kubernetes: valid to its schemas, and hostile names arrive as they are."""

import pytest
import yaml
from kubernetes_validate import validate

from rft.scheduling.targets import Errand, text_for
from tests.errands import HOSTILE, RESOLVED, errand, hostile_errand

VERSION = "1.33"


def manifests(wanted: Errand) -> dict[str, dict]:
    parts = list(yaml.safe_load_all(text_for("kubernetes", wanted)))
    for part in parts:
        validate(part, VERSION, strict=True)
    return {part["kind"]: part for part in parts}


def pod(cron_job: dict) -> dict:
    return cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_a_shipped_recipe_needs_a_volume_and_a_job_that_never_runs_twice():
    parts = manifests(errand(image="me/rft:1", zone="Europe/Berlin"))
    assert list(parts) == ["PersistentVolumeClaim", "CronJob"]
    spec = parts["CronJob"]["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 2 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    (container,) = pod(parts["CronJob"])["containers"]
    assert container["image"] == "me/rft:1"
    assert container["command"] == [
        *("rft", "run", "quickstart", "--out", "/runs/quickstart", "--next", "--grace", "20s")
    ]
    claim = pod(parts["CronJob"])["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == parts["PersistentVolumeClaim"]["metadata"]["name"]


def test_a_mistake_fails_the_job_at_once_and_an_eviction_is_no_try():
    job = manifests(errand(image="x", grace=40))["CronJob"]["spec"]["jobTemplate"]["spec"]
    fail, ignore = job["podFailurePolicy"]["rules"]
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"]["values"] == [2]
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] > 40


def test_times_without_a_zone_are_utc():
    assert manifests(errand(image="x"))["CronJob"]["spec"]["timeZone"] == "Etc/UTC"


def test_a_recipe_that_is_a_file_travels_as_it_was_read(tmp_path):
    wanted = hostile_errand(tmp_path, image="x", outside=("/data/train.jsonl",))
    parts = manifests(wanted)
    assert parts["ConfigMap"]["data"]["recipe.yaml"] == RESOLVED
    spec = pod(parts["CronJob"])
    command = spec["containers"][0]["command"]
    # Its settings are in it.
    assert command[:5] == ["rft", "run", "/recipes/recipe.yaml", "--out", "/runs/mine"]
    assert "--set" not in command
    assert {volume["name"] for volume in spec["volumes"]} == {
        mount["name"] for mount in spec["containers"][0]["volumeMounts"]
    }
    assert "# The recipe reads /data/train.jsonl" in text_for("kubernetes", wanted)


def test_a_run_has_to_be_copied_and_hostile_settings_arrive_as_they_are():
    run = f"/home/me/{HOSTILE}".replace("/home/me/it", "/home/me/It")
    settings = ("sft.learning_rate=3e-4", f"prompt.template={HOSTILE}")
    wanted = errand(image="x", recipe=run, run=run, is_run=True, settings=settings)
    command = pod(manifests(wanted)["CronJob"])["containers"][0]["command"]
    # Kubernetes itself reads $(NAME), and $$( as $(.
    plain = [word.replace("$$(", "$(") for word in command]
    name = run.rpartition("/")[2]
    changes = ["--set", settings[0], "--set", settings[1]]
    assert plain == ["rft", "run", f"/runs/{name}", *changes, "--next", "--grace", "20s"]
    assert all(isinstance(word, str) for word in command)
    assert f"# Copy the run there first: {run}" in text_for("kubernetes", wanted)


def test_the_validator_would_see_a_mistake():
    part = manifests(errand(image="x"))["CronJob"]
    part["spec"]["concurrencyPolice"] = "Forbid"
    with pytest.raises(Exception, match="concurrencyPolice"):
        validate(part, VERSION, strict=True)
