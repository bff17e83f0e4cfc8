"""Which processes train together, from what their platform says: TF_CONFIG, SLURM, or a list of addresses."""

import itertools
import json
import re
import typing

from sagan_tf.system.errors import UserError

_FIRST_SLURM_PORT, _SLURM_PORTS = 20_000, 10_000
_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
# Where Kubernetes (Indexed Job, JobSet) and SLURM put the number of a process.
_INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "SLURM_PROCID")


class Cluster(typing.NamedTuple):
    """The workers of a run.

    Attributes:
      hosts: "host:port" of each worker; the first is the chief, which writes.
      index: this process's number.
    """

    hosts: tuple[str, ...]
    index: int

    def name(self, index: int) -> str:
        """What a worker is called in messages."""
        return f"worker {index}, {self.hosts[index]}"


def find(cluster: str, environ: typing.Mapping[str, str]) -> Cluster | None:
    """The workers that train together, or None if this process trains alone.

    Args:
      cluster: "auto" (TF_CONFIG if it is set, else SLURM if `srun` started several tasks, else alone),
        "none", "slurm", or the addresses "host:port,host:port,...", the chief's first; "pod-[0-3]:port"
        stands for four of them. With addresses the number of this process comes from JOB_COMPLETION_INDEX
        (Kubernetes) or SLURM_PROCID.
      environ: the process's environment variables.

    Raises:
      UserError: variables that are missing, or that make no sense.
    """
    if cluster == "none":
        return None
    if cluster == "slurm" or (cluster == "auto" and _has_slurm_tasks(environ)):
        found = _of_slurm(environ)
    elif cluster == "auto":
        found = _of_tf_config(environ.get("TF_CONFIG", ""))
    else:
        found = _of_addresses(cluster, environ)
    return found if found and len(found.hosts) > 1 else None


def _of_tf_config(text: str) -> Cluster | None:
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        hosts = {name: tuple(_address(host) for host in jobs[name]) for name in jobs}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"TF_CONFIG={text}: must be like {_EXAMPLE}") from None
    if "sparseCluster" in config:
        raise UserError("TF_CONFIG does not name all workers: set enableDynamicWorker of the TFJob to false")
    if sum(map(len, hosts.values())) < 2:
        return None  # a single task, whatever it is called
    if kind not in ("chief", "master", "worker"):
        raise UserError(
            f"TF_CONFIG: this process is a task of type {kind!r}, which has nothing to do here: start only"
            " chief and worker tasks (sagan_tf.evaluate can score a run while it trains)"
        )
    chiefs = hosts.get("chief", ()) + hosts.get("master", ())
    if len(chiefs) > 1:
        raise UserError(f"TF_CONFIG={text}: names {len(chiefs)} chiefs; allowed is one")
    number = index + (len(chiefs) if kind == "worker" else 0)
    workers = chiefs + hosts.get("worker", ())
    own = chiefs if kind != "worker" else hosts.get("worker", ())
    if not 0 <= index < len(own):
        raise UserError(f"TF_CONFIG={text}: has {len(own)} tasks of type {kind!r}, and index is {index}")
    return Cluster(workers, number)


def _of_addresses(text: str, environ) -> Cluster:
    try:
        hosts = tuple(_address(host) for host in expand_nodes(text))
    except ValueError as error:
        raise UserError(
            f"{error}; allowed are auto, none, slurm, and addresses like a.example:2222,b.example:2222 or"
            " pod-[0-7].example:2222",
            option="cluster",
            value=text,
        ) from None
    for name in _INDEX_VARIABLES:
        if name in environ:
            return Cluster(hosts, _number(name, environ, len(hosts)))
    raise UserError(
        f"the number of this process is not known: set {_INDEX_VARIABLES[0]} to a number from 0 to"
        f" {len(hosts) - 1}, another on each host",
        option="cluster",
        value=text,
    )


def _address(text: str) -> str:
    if not re.fullmatch(r"[^\s:\[\]]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", text):
        raise ValueError(f"{text!r} is no address")
    return text


def _has_slurm_tasks(environ) -> bool:
    """Whether `srun` has started this process as one of several. A TF_CONFIG of the user's comes first."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS", "1")
    return "TF_CONFIG" not in environ and "SLURM_PROCID" in environ and tasks not in ("", "1")


def _of_slurm(environ) -> Cluster:
    """SLURM numbers tasks node by node (its default, `--distribution=block`)."""
    nodes = expand_nodes(_slurm("SLURM_STEP_NODELIST", environ))
    counts = _expand_counts(_slurm("SLURM_STEP_TASKS_PER_NODE", environ))
    job = _number("SLURM_JOB_ID", environ)
    base = _FIRST_SLURM_PORT + job % _SLURM_PORTS  # two jobs on a node seldom have the same
    if len(nodes) != len(counts):
        raise UserError(f"SLURM names {len(nodes)} nodes and the tasks of {len(counts)}")
    hosts = [f"{node}:{base + i}" for node, count in zip(nodes, counts, strict=True) for i in range(count)]
    return Cluster(tuple(hosts), _number("SLURM_PROCID", environ, len(hosts)))


def _slurm(name: str, environ) -> str:
    if not environ.get(name):
        raise UserError(f"SLURM's variable {name} is missing: start the program with srun")
    return environ[name]


def _number(name: str, environ, limit: int | None = None) -> int:
    text = environ.get(name, "")
    if not text.isdigit() or (limit is not None and int(text) >= limit):
        allowed = "a number" if limit is None else f"a number from 0 to {limit - 1}"
        raise UserError(f"{name}={text}: must be {allowed}")
    return int(text)


def expand_nodes(text: str) -> list[str]:
    """A list of names as SLURM writes it, in its order: "a[1,08-10],b" -> a1, a08, a09, a10, b.

    The brackets of an IPv6 address stay.
    """
    names = []
    for entry in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        pieces = [
            _expand_ranges(piece[1:-1]) if re.fullmatch(r"\[\d+(-\d+)?(,\d+(-\d+)?)*\]", piece) else [piece]
            for piece in re.findall(r"\[[^\]]*\]|[^\[\]]+", entry)
        ]
        names += ["".join(parts) for parts in itertools.product(*pieces)]
    return names


def _expand_ranges(text: str) -> list[str]:
    numbers = []
    for entry in text.split(","):
        first, _, last = entry.partition("-")
        if int(last or first) < int(first):
            raise UserError(f"[{text}]: a range must not count down")
        numbers += [str(n).zfill(len(first)) for n in range(int(first), int(last or first) + 1)]
    return numbers


def _expand_counts(text: str) -> list[int]:
    """SLURM's tasks of each node: "2(x3),1" -> 2, 2, 2, 1."""
    counts = []
    for entry in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", entry)
        if not found:
            raise UserError(f"SLURM_STEP_TASKS_PER_NODE={text}: must be like 2(x3),1")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts
