"""A CronJob of Kubernetes, with the volume for the run and the recipe in a ConfigMap."""

import json
import textwrap

from rft.scheduling.targets import Errand

RUNS, RECIPES = "/runs", "/recipes"

TEXT = """\
# Save this as {name}.yaml, add what the image needs (GPUs as resources, a pull secret), then
# `kubectl apply -f {name}.yaml`. Runs are on the volume claim, as /runs/NAME in the container.
{notes}#   0   a round is made, or nothing is left to do
#   75  interrupted: another pod goes on, ten times at most, and then the next time
#   2   a person must change something: the job fails at once (`kubectl logs` says what)
#   1   a bug, with its traceback: as 75
# Nothing of your environment is passed on: what a round needs of it (secrets of `notify`, HF_TOKEN)
# goes below `image`, from a Secret: `envFrom: [{{secretRef: {{name: ...}}}}]`; HF_HOME below {runs}
# keeps what is downloaded, as `env: [{{name: HF_HOME, value: {runs}/hf}}]`.
{copied}# A pod that is evicted or preempted does not count as a try. Never two at once.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 100Gi
---
{recipe}apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: {times}
  timeZone: {zone}
  concurrencyPolicy: Forbid
  # A time that was missed is made up for within an hour, once.
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 10
      podFailurePolicy:
        rules:
          - action: FailJob
            onExitCodes:
              containerName: rft
              operator: In
              values: [2]
          - action: Ignore
            onPodConditions:
              - type: DisruptionTarget
                status: "True"
      template:
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: {patience}
          containers:
            - name: rft
              image: {image}
              command:
{command}
              volumeMounts:
                - name: runs
                  mountPath: {runs}
{mount}          volumes:
            - name: runs
              persistentVolumeClaim:
                claimName: {name}
{volume}"""

RECIPE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
data:
  recipe.yaml: |
{text}---
"""
COPIED = """\
# The recipe in the ConfigMap is a copy: later edits of its file do not reach it. Write this anew
# then, and `kubectl apply` it again.
"""
MOUNT = """\
                - name: recipe
                  mountPath: /recipes
"""
VOLUME = """\
            - name: recipe
              configMap:
                name: {name}
"""


def write(errand: Errand) -> str:
    """Write the manifests; a recipe that is a file travels as it was read, settings included."""
    run = f"{RUNS}/{errand.run.rpartition('/')[2]}"
    words = errand.elsewhere(RUNS, f"{RECIPES}/recipe.yaml")
    notes = [f"# Copy the run there first: {errand.run} as {run}\n"] if errand.is_run else []
    notes += [f"# The recipe reads {path}: it has to be there too\n" for path in errand.outside]
    return TEXT.format(
        name=errand.name,
        copied=COPIED if errand.of_file else "",
        notes="".join(notes),
        recipe=RECIPE.format(name=errand.name, text=textwrap.indent(errand.resolved, "    "))
        if errand.of_file
        else "",
        times=text(errand.cron.text),
        zone=text(errand.zone or "Etc/UTC"),
        # The default is 30 seconds.
        patience=errand.grace + 15,
        image=text(errand.image or ""),
        # Nobody expands $(NAME) in what is doubled.
        command="\n".join(f"                - {text(word.replace('$(', '$$('))}" for word in words),
        runs=RUNS,
        mount=MOUNT if errand.of_file else "",
        volume=VOLUME.format(name=errand.name) if errand.of_file else "",
    )


def text(word: str) -> str:
    """Quote a word: to YAML, 3e-4 without quotes is a number."""
    return json.dumps(word, ensure_ascii=False)
