"""The devices of a run: replicas of this process, or of several worker processes."""

import contextlib
import functools
import typing

import tensorflow as tf
from tensorflow.python.eager import context  # nothing public sets how long TensorFlow waits for a worker

from sagan_tf.system.errors import UserError

_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Workers(typing.NamedTuple):
    """The processes that train one run together.

    Attributes:
      strategy: the replicas, of this process or of all.
      index, count: number of this process and how many there are. Number 0, the chief, writes.
    """

    strategy: tf.distribute.Strategy
    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def __str__(self) -> str:
        text = f"{self.strategy.num_replicas_in_sync} replica(s)"
        if self.count > 1:
            text += f" of {self.count} workers; this is number {self.index}"
        return text

    def agree(self, stop: bool, value: int) -> tuple[bool, int]:
        """Whether any process wants to stop, and the chief's value. Each must call it; it waits for all."""
        if self.count == 1:
            return stop, value
        strategy = self.strategy
        first = strategy.num_replicas_in_sync // self.count * self.index  # one replica of a process speaks
        said = [int(stop), value if self.is_chief else 0]

        def of_replica(context):
            return tf.constant(said if context.replica_id_in_sync_group == first else [0, 0], tf.int64)

        values = strategy.experimental_distribute_values_from_function(of_replica)
        stops, value = strategy.reduce("SUM", values, axis=None).numpy()
        return bool(stops), int(value)

    @contextlib.contextmanager
    def watched(self, await_end: typing.Callable):
        """Raises UserError when another process has ended, in place of TensorFlow's many errors.

        Args:
          await_end: waits for the watcher of the other processes, which reports the end and ends this one.
        """
        try:
            yield
        except _LOST_WORKER as error:
            if self.count == 1:
                raise
            await_end()
            raise UserError(
                f"worker {self.index} of {self.count}: TensorFlow has lost another worker"
                f" ({type(error).__name__}); start the same command on all of them again: it goes on from"
                " its last checkpoint"
            ) from error


def make_workers(
    devices: str, hosts: typing.Sequence[str] = (), index: int = 0, silence_seconds: int = 120
) -> Workers:
    """The replicas of this process, or of several processes: each with the devices that `devices` names.

    Args:
      devices: "auto" (every GPU, or the CPU), "cpu", "cpu:N" (N replicas) or "gpu:0,2" (these GPUs).
      hosts: "host:port" of every worker; none or one where this process trains alone.
      index: this process's number among them. It waits until TensorFlow has joined them all.
      silence_seconds: TensorFlow takes a worker for lost that was silent so long, or for half of it.

    Raises:
      UserError: devices that are not here, or workers that TensorFlow cannot join.
    """
    if len(hosts) < 2:
        return Workers(_mirrored(devices))
    _show_only(devices)
    tensorflows = context.context()
    tensorflows.configure_coordination_service = functools.partial(
        tensorflows.configure_coordination_service, heartbeat_timeout_in_ms=1000 * silence_seconds
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(hosts)}), task_type="worker", task_id=index, rpc_layer="grpc"
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (*_LOST_WORKER, tf.errors.UnknownError, tf.errors.AlreadyExistsError) as error:
        raise UserError(
            f"worker {index}, {hosts[index]}, cannot join the others: {error.message.splitlines()[0]}"
        ) from error
    return Workers(strategy, index, len(hosts))


def device_names(devices: str) -> list[str]:
    """TensorFlow's names of the devices in this process, one for each replica; see `make_workers`.

    Raises:
      UserError: devices that are not here.
    """
    kind, _, which = devices.partition(":")
    gpus = _chosen_gpus(devices) if kind == "gpu" else range(len(tf.config.list_physical_devices("GPU")))
    if gpus and kind != "cpu":
        return [f"GPU:{number}" for number in gpus]
    return [f"CPU:{number}" for number in range(int(which or 1))]


def choose_devices(devices: str) -> tuple[str, ...]:
    """The same for a command without replicas. Where TensorFlow has not started yet, it sees no others.

    Raises:
      UserError: devices that are not here.
    """
    names = device_names(devices)
    gpus = [_gpu(int(name.rpartition(":")[2])) for name in names if name.startswith("GPU")]
    with contextlib.suppress(RuntimeError):  # TensorFlow runs already: it keeps what it sees
        tf.config.set_visible_devices(gpus, "GPU")
        names = [f"GPU:{number}" for number in range(len(gpus))] or names
    if not gpus:
        _divide_cpu(devices, len(names))
    return tuple(names)


def _refusal(devices: str, problem: str) -> UserError:
    return UserError(problem, option="devices", value=devices)


def _mirrored(devices: str) -> tf.distribute.MirroredStrategy:
    names = device_names(devices)
    if names[0].startswith("GPU"):
        return tf.distribute.MirroredStrategy(names)
    _divide_cpu(devices, len(names))
    # Collective operations, the default, confuse two strategies of one process: their keys are the same.
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.ReductionToOneDevice())


def _divide_cpu(devices: str, count: int) -> None:
    """Makes so many devices of the CPU."""
    with contextlib.suppress(RuntimeError):  # raised where TensorFlow runs already, perhaps with enough
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    available = len(tf.config.list_logical_devices("CPU"))
    if count > available:
        raise _refusal(devices, f"TensorFlow has been started with {available} such devices here")


def _gpu(number: int):
    return tf.config.list_physical_devices("GPU")[number]


def _chosen_gpus(devices: str) -> list[int]:
    numbers = sorted({int(number) for number in devices.partition(":")[2].split(",")})
    available = len(tf.config.list_physical_devices("GPU"))
    if numbers[-1] >= available:
        allowed = f"numbers from 0 to {available - 1}" if available else "only auto and cpu:N"
        raise _refusal(devices, f"TensorFlow sees {available} GPUs here; allowed are {allowed}")
    return numbers


def _show_only(devices: str) -> None:
    """Hides what is not chosen: MultiWorkerMirroredStrategy takes all that it sees."""
    kind, _, which = devices.partition(":")
    if kind == "cpu":
        if which not in ("", "1"):
            raise _refusal(devices, "with several workers the CPU of each is one replica: give cpu")
        tf.config.set_visible_devices([], "GPU")
    elif kind == "gpu":
        tf.config.set_visible_devices([_gpu(number) for number in _chosen_gpus(devices)], "GPU")
