"""Who trains together, from what platforms say."""

import json

import pytest
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

from sagan_tf.cluster import Cluster, find
from sagan_tf.cluster.environment import expand_nodes
from sagan_tf.system.errors import UserError


def tf_config(task=("worker", 0), **jobs) -> dict:
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": task[0], "index": task[1]}})}


TWO = ["a:1", "b:2"]


def test_tf_config_of_workers():
    assert find("auto", tf_config(("worker", 1), worker=TWO)) == Cluster(("a:1", "b:2"), 1)


@pytest.mark.parametrize("chief", ["chief", "master"])
def test_a_chief_is_worker_0_as_kubeflow_writes_it(chief):
    jobs = {chief: ["c:1"], "worker": TWO, "ps": ["p:1"], "evaluator": ["e:1"]}
    assert find("auto", tf_config((chief, 0), **jobs)) == Cluster(("c:1", "a:1", "b:2"), 0)
    assert find("auto", tf_config(("worker", 1), **jobs)) == Cluster(("c:1", "a:1", "b:2"), 2)


@pytest.mark.parametrize("kind", ["ps", "evaluator"])
def test_tasks_that_have_nothing_to_do(kind):
    with pytest.raises(UserError, match=f"TF_CONFIG: this process is a task of type '{kind}'"):
        find("auto", tf_config((kind, 0), worker=TWO, **{kind: ["x:1"]}))


@pytest.mark.parametrize("kind", ["worker", "chief", "evaluator"])
def test_one_task_trains_alone(kind):
    assert find("auto", tf_config((kind, 0), **{kind: ["a:1"]})) is None
    assert find("auto", {}) is find("auto", {"TF_CONFIG": ""}) is find("none", tf_config(worker=TWO)) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "must be like"),
        ("[]", "must be like"),
        ('{"cluster": {"worker": "a:1"}}', "must be like"),
        ('{"cluster": {"worker": ["a", "b:1"]}}', "must be like"),
        (tf_config(("worker", 2), worker=TWO)["TF_CONFIG"], "has 2 tasks of type 'worker', and index is 2"),
        (tf_config(("worker", -1), worker=TWO)["TF_CONFIG"], "index is -1"),
        (tf_config(("chief", 0), worker=TWO)["TF_CONFIG"], "has 0 tasks of type 'chief'"),
        (tf_config(("chief", 0), worker=TWO, chief=TWO)["TF_CONFIG"], "names 2 chiefs"),
    ],
)
def test_tf_config_that_cannot_be_used(text, line):
    with pytest.raises(UserError) as caught:
        find("auto", {"TF_CONFIG": text})
    assert f"TF_CONFIG={text}: " in str(caught.value) and line in str(caught.value)


def test_a_tfjob_with_workers_that_come_and_go_names_only_one():
    sparse = {"worker": {"1": "b:2"}, "ps": []}
    text = json.dumps({"sparseCluster": sparse, "task": {"type": "worker", "index": 1}})
    with pytest.raises(UserError, match="enableDynamicWorker"):
        find("auto", {"TF_CONFIG": text})


SLURM = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[8,10],gpu-a",
    "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
}


@pytest.mark.parametrize("option", ["auto", "slurm"])
def test_slurm(option):
    assert find(option, SLURM) == Cluster(("n8:24567", "n8:24568", "n10:24567", "gpu-a:24567"), 3)


def test_slurm_of_one_task_and_tf_config_before_slurm():
    assert find("auto", SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert find("auto", SLURM | tf_config(("worker", 1), worker=TWO)).hosts == ("a:1", "b:2")


@pytest.mark.parametrize("missing", ["SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"])
def test_slurm_without_srun(missing):
    with pytest.raises(UserError, match=f"{missing} is missing: start the program with srun"):
        find("slurm", {name: value for name, value in SLURM.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [("SLURM_PROCID", "4"), ("SLURM_PROCID", "x"), ("SLURM_JOB_ID", ""), ("SLURM_STEP_TASKS_PER_NODE", "a")]
    + [("SLURM_STEP_TASKS_PER_NODE", "4"), ("SLURM_STEP_NODELIST", "a")],
)
def test_slurm_variables_that_make_no_sense(name, value):
    with pytest.raises(UserError, match="SLURM"):
        find("slurm", SLURM | {name: value})


@pytest.mark.parametrize("text", ["a", "a,b", "a[1-3]", "a[08-10],b", "n[1,3-5,09],m[2]", "x1-y[0-1]"])
def test_nodes_are_those_of_tensorflows_reader(text):
    assert expand_nodes(text) == slurm_cluster_resolver.expand_hostlist(text)


def test_nodes_with_two_ranges():
    assert expand_nodes("r[1-2]n[1-2]") == ["r1n1", "r1n2", "r2n1", "r2n2"]


@pytest.mark.parametrize("variable", ["JOB_COMPLETION_INDEX", "SLURM_PROCID"])
def test_addresses(variable):
    assert find("a:1,[::1]:2", {variable: "1"}) == Cluster(("a:1", "[::1]:2"), 1)
    hosts = ("p-8.x:1", "p-9.x:1", "p-10.x:1", "b:2")
    assert find("p-[8-10].x:1,b:2", {variable: "1"}) == Cluster(hosts, 1)


@pytest.mark.parametrize(
    ("text", "environ", "line"),
    [
        ("a,b:1", {}, "'a' is no address"),
        ("p-[0-x]:1", {}, "'p-[0-x]:1' is no address"),
        ("p-[3-1]:1,b:1", {}, "[3-1]: a range must not count down"),
        ("slurmy", {}, "allowed are auto, none, slurm, and addresses"),
        ("a:1,b:1", {}, "set JOB_COMPLETION_INDEX to a number from 0 to 1"),
        ("a:1,b:1", {"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX=2: must be a number from 0 to 1"),
    ],
)
def test_addresses_that_cannot_be_used(text, environ, line):
    with pytest.raises(UserError) as caught:
        find(text, environ)
    assert line in str(caught.value)
