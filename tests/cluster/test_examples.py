"""The examples for SLURM and Kubernetes: read as those systems read them, and their commands run."""

import os
import re
import stat
import subprocess
import sys

import pytest
import yaml

from sagan_tf.cluster import find
from sagan_tf.runs.config import Config
from sagan_tf.system import options
from tests.conftest import ROOT

SLURM = ROOT / "tools" / "cluster" / "slurm.sh"
KUBERNETES = ROOT / "tools" / "cluster" / "kubernetes.yaml"
TINY = """--dataset=digits --image_size=32 --batch_size=4 --z_dim=8 --steps_per_call=1 --generator_channels=1
 --discriminator_channels=1 --generator_attention= --discriminator_attention= --precision=float32
 --devices=cpu --train_steps=1""".split()
# Starts the command twice, as srun does on two tasks of one node.
SRUN = """#!/usr/bin/env bash
[ "$1" = --kill-on-bad-exit=0 ] && shift
[ "${SRUN_CODE:-}" ] && exit "$SRUN_CODE"
export SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_TASKS_PER_NODE=2
SLURM_PROCID=1 "$@" > "$LOG" 2>&1 &
SLURM_PROCID=0 "$@"
wait %1
"""


def stand_in(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def slurm(tmp_path):
    """Runs the script under stand-ins of srun and scontrol; gives the finished process."""
    stand_in(tmp_path, "srun", SRUN)
    stand_in(tmp_path, "scontrol", '#!/usr/bin/env bash\necho "scontrol $*"\n')
    stand_in(tmp_path, "python", f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n')
    paths = f"{tmp_path}:{os.environ['PATH']}"

    def run(*arguments, **variables):
        port = 10_000 + os.getpid() % 1000  # of 20,000 to 29,999
        more = {"PATH": paths, "SLURM_JOB_ID": str(port), "LOG": str(tmp_path / "1.log")}
        return subprocess.run(
            [SLURM, *arguments], env=os.environ | more | variables, cwd=ROOT, capture_output=True, text=True
        )

    return run


@pytest.mark.slow
def test_slurm_trains_two_tasks(slurm, tmp_path):
    done = slurm(*TINY, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "of 2 workers; this is number 0" in done.stdout and "steps: 1 of 1 " in done.stdout
    assert "this is number 1" in (tmp_path / "1.log").read_text()


@pytest.mark.parametrize(("code", "again"), [(75, True), (143, True), (2, False), (3, False)])
def test_slurm_tries_again_where_it_helps(slurm, code, again):
    done = slurm(SRUN_CODE=str(code))
    assert ("scontrol requeue" in done.stdout) == again and done.returncode == (0 if again else code)


def test_slurm_gives_the_time_that_it_says():
    text = SLURM.read_text()
    (seconds,) = re.findall(r"#SBATCH --signal=TERM@(\d+)", text)
    assert "#SBATCH --requeue\n" in text and f" --grace_period={seconds} " in text


def test_slurm_script_is_clean():
    shellcheck = os.path.join(os.path.dirname(sys.executable), "shellcheck")
    for command in (["bash", "-n"], [shellcheck]):
        done = subprocess.run([*command, SLURM], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_pods_are_the_workers_of_the_command():
    service, job = yaml.safe_load_all(KUBERNETES.read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (service["kind"], job["kind"], spec["completionMode"]) == ("Service", "Job", "Indexed")
    assert service["spec"]["clusterIP"] == "None" and pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy needs it
    command = container["command"]
    assert command[:3] == ["python", "-m", "sagan_tf.train"]
    config, _ = options.parse(Config, command[3:])
    config.check()
    assert config.grace_period == pod["terminationGracePeriodSeconds"]
    name = job["metadata"]["name"]
    for index in range(spec["completions"]):
        found = find(config.cluster, {"JOB_COMPLETION_INDEX": str(index)})
        assert found.index == index and len(found.hosts) == spec["completions"] == spec["parallelism"]
        host, port = found.hosts[index].split(":")
        assert host == f"{name}-{index}.{pod['subdomain']}"
        assert int(port) == container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["port"]
    assert config.workdir.startswith(container["volumeMounts"][0]["mountPath"])
    assert {volume["name"] for volume in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}


def test_kubernetes_tries_again_where_it_helps():
    _, job = yaml.safe_load_all(KUBERNETES.read_text())
    rules = job["spec"]["podFailurePolicy"]["rules"]
    codes = {rule["action"]: rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule}
    assert codes == {"FailJob": [2, 3], "Ignore": [75, 143]}
