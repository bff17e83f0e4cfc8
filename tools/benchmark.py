"""Measures how fast the product is beside the machine's limits: training, sampling, serving, data, scores.

Arithmetic is counted in the paper's order of layers, to compare implementations. The product computes less,
so a share of a limit can exceed 1. `--what=peer` also measures the step of the same networks in plain PyTorch
(tools/peer.py), in turns with ours, so that other load slows both.

Each figure is the median of repeated runs, with its extremes. Shares of the limits, measured in the same run,
vary less between machines than times.
"""

import dataclasses
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.runs.config import IMAGE_SIZES  # noqa: E402
from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.errors import UserError  # noqa: E402
from sagan_tf.system.options import check, option  # noqa: E402
from sagan_tf.system.processor import usable_cpus  # noqa: E402
from tools.benchmark_peer import compare, peer_networks  # noqa: E402
from tools.ceilings import (  # noqa: E402
    Figure,
    convolution,
    copy_bandwidth,
    matrix_product,
    peak_memory,
    rate,
    seconds_in_turns,
    seconds_of,
)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WHAT = ("train", "peer", "sample", "start", "growth", "attention", "digits", "serve", "data", "evaluate")
_CLASSES = 1000
# What other files measure, with their own options.
_OTHERS = {
    "digits": "benchmark_digits",
    "serve": "benchmark_export",
    "data": "benchmark_data",
    "evaluate": "benchmark_metrics",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure, and on which networks."""

    what: tuple[str, ...] = option(
        ("train", "sample", "start"),
        "What to measure; peer: the step beside plain PyTorch's, which has to be installed.",
        choices=WHAT,
    )
    image_size: int = option(128, "Height and width of the images.", choices=IMAGE_SIZES)
    channels: int = option(32, "Base width of both networks.", minimum=1)
    batch_size: int = option(8, "Images in a batch, over all replicas.", minimum=1)
    precision: tuple[str, ...] = option(
        ("float32", "bfloat16"), "Precisions to measure.", choices=("float32", "bfloat16")
    )
    attention: tuple[int, ...] = option((32,), "Resolutions with attention, in both networks.")
    devices: str = option("auto", "As of sagan_tf.train; with several replicas the batch is divided.")
    xla: bool = option(False, "Compile with XLA.")
    repeats: int = option(7, "Timed calls of each.", minimum=3)
    json: str = option("", "File to write the figures to as well.", is_path=True)

    def check(self) -> None:
        """Raises UserError for impossible networks and devices, and if PyTorch is missing for the peer."""
        try:
            check(_config(self, "float32"))
        except UserError as error:
            error.option = error.option.rpartition("_")[2]  # attention: one option for both networks here
            raise
        if "peer" in self.what and importlib.util.find_spec("torch") is None:
            raise UserError(
                "--what=peer: needs PyTorch, which is not a requirement of this project: pip install torch"
            )


def main(options: Options, given) -> int:
    """Prints a line for each figure. Returns the exit code."""
    del given
    figures = []
    print(f"{'':<44}{'median':>10} {'':<9}{'[extremes]':<24}{'share':>6}", flush=True)
    for figure in measure(options):
        figures.append(figure._asdict())
        print(figure, flush=True)
    for name in options.what:
        if name in _OTHERS:
            print(f"\ntools/{_OTHERS[name]}.py", flush=True)
            subprocess.run([sys.executable, os.path.join(ROOT, "tools", f"{_OTHERS[name]}.py")], check=True)
    print(f"load {os.getloadavg()[0]:.1f}, {usable_cpus()} cores")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": dataclasses.asdict(options), "figures": figures}, file, indent=1)
    return 0


def measure(options: Options):
    """Yields the figures."""
    if "start" in options.what:
        yield from start(options.repeats)
    if not {"train", "peer", "sample", "growth", "attention"} & set(options.what):
        return
    from sagan_tf.system.devices import make_workers

    make_workers(options.devices)  # before TensorFlow has chosen its devices
    copied = copy_bandwidth(options.repeats)
    yield copied
    for precision in options.precision:
        product = matrix_product(precision, options.repeats)
        yield product
        convolved = convolution(precision, options.repeats, product.value)
        yield convolved
        if "train" in options.what:
            yield from train(options, precision, product.value)
        if "peer" in options.what:
            yield from peer(options, precision)
        if "sample" in options.what:
            for batch_size in (1, 64):
                ceilings = product.value, convolved.value, copied.value
                yield from sample(options, precision, batch_size, ceilings)
        if "growth" in options.what:
            yield from growth(options, precision)
        if "attention" in options.what:
            yield from attention(options, precision)


def train(options: Options, precision: str, ceiling: float):
    """Yields the speed of the training step, as `sagan_tf.train` runs it, on random images."""
    from sagan_tf.monitoring import estimate

    call, state, strategy = _step(options, precision)
    begin = time.perf_counter()
    call()
    compiling = time.perf_counter() - begin
    times = seconds_of(call, options.repeats)
    batch = options.batch_size
    counted, replicas = _config(options, precision), strategy.num_replicas_in_sync
    costs = estimate.estimate(counted, state.generator, state.discriminator, replicas)
    yield rate(f"training, {precision}", batch, times, "images/s", note=f"first call {compiling:.0f} s")
    peak = peak_memory() / 2**30
    plain, computed = costs.plain_flop_per_image / 1e9, costs.flop_per_image / 1e9
    note = f"{plain:.1f} GFLOP an image, {computed:.1f} computed; process so far {peak:.1f} GiB"
    yield rate("", plain * batch, times, "GFLOP/s", ceiling, note)
    if replicas > 1:
        device = "gpu:0" if "GPU" in strategy.extended.worker_devices[0] else "cpu"
        alone = dataclasses.replace(options, devices=device, batch_size=batch // replicas)
        together = replicas * next(train(alone, precision, ceiling)).value
        yield rate(f"{replicas} replicas against {replicas} times one", batch / together, times, "")


def peer(options: Options, precision: str):
    """Yields the speed of the training step and of two forms of PyTorch's, in turns, and how they compare."""
    call, _, strategy = _step(options, precision)
    if "GPU" in strategy.extended.worker_devices[0]:
        raise UserError("--what=peer: compares on the CPU only: add --devices=cpu")
    networks = peer_networks(options.image_size, options.channels, options.attention, _CLASSES)
    yield from compare(call, networks, options.batch_size, precision, options.repeats)


def growth(options: Options, precision: str):
    """Yields the step's speed as the batch grows."""
    for batch_size in (4, 8, 16, 32):
        figure = next(train(dataclasses.replace(options, batch_size=batch_size), precision, None))
        yield figure._replace(name=f"{figure.name}, batch {batch_size}")


def attention(options: Options, precision: str):
    """Yields the cost of attention at half the image's size, at a quarter and of none; steps in turns."""
    resolutions = (options.image_size // 4,), (options.image_size // 2,), ()
    calls = [_step(dataclasses.replace(options, attention=r), precision)[0] for r in resolutions]
    quarter, half, none = seconds_in_turns(calls, options.repeats)
    for name, times, bases in (
        (f"attention at {resolutions[0][0]}, to none", quarter, none),
        (f"attention at {resolutions[1][0]}, to {resolutions[0][0]}", half, quarter),
    ):
        ratios = sorted(seconds / base for seconds, base in zip(times, bases, strict=True))
        note = f"{statistics.median(times):.3f} s instead of {statistics.median(bases):.3f}"
        yield Figure(
            f"{name}, {precision}", statistics.median(ratios), ratios[0], ratios[-1], "times", note=note
        )


def _step(options: Options, precision: str):
    """A call of the training step, the state that it changes, and the strategy that it runs under."""
    import tensorflow as tf

    from sagan_tf.runs import objects
    from sagan_tf.system.devices import make_workers

    config = _config(options, precision)
    strategy = make_workers(options.devices).strategy
    objects.check_replicas(config, strategy)
    state = objects.make_state(config, _CLASSES, strategy)
    step = objects.make_step(config, state, strategy)
    size, batch = options.image_size, options.batch_size
    images = tf.random.uniform((batch, size, size, 3), -1.0, 1.0)
    batches = tf.data.Dataset.from_tensors((images, tf.range(batch) % _CLASSES)).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(batches))

    def call():
        return {name: value.numpy() for name, value in step(iterator, tf.constant(1)).items()}

    return call, state, strategy


def _config(options: Options, precision: str):
    from sagan_tf.runs.config import Config

    return Config(
        workdir="unused",
        image_size=options.image_size,
        generator_channels=options.channels,
        discriminator_channels=options.channels,
        generator_attention=options.attention,
        discriminator_attention=options.attention,
        batch_size=options.batch_size,
        precision=precision,
        devices=options.devices,
        xla=options.xla,
    )


def sample(options: Options, precision: str, batch_size: int, ceilings: tuple[float, float, float]):
    """Yields the speed of the generator as it is exported.

    `ceilings`: GFLOP/s of the matrix product and of the convolution, GB/s that are copied.
    """
    import tensorflow as tf

    from sagan_tf.monitoring import estimate
    from sagan_tf.networks.inference import inference_copy
    from sagan_tf.runs import objects
    from sagan_tf.runs.config import PRECISIONS
    from sagan_tf.serving.module import ServedGenerator

    product, convolved, copied = ceilings
    trained = objects.make_generator(_config(options, precision), _CLASSES)
    generator = inference_copy(trained, bake=True, dtype=PRECISIONS[precision])
    with tempfile.TemporaryDirectory() as directory:
        class_file = os.path.join(directory, "labels.txt")
        with open(class_file, "w", encoding="utf-8") as file:
            file.writelines(f"{label}\n" for label in range(_CLASSES))
        ServedGenerator(generator, class_file).save(os.path.join(directory, "model"))
        model = tf.saved_model.load(os.path.join(directory, "model"))
    generate = model.signatures["serving_default"]
    inputs = {"z": tf.random.normal((batch_size, generator.z_dim)), "labels": tf.range(batch_size) % _CLASSES}
    times = seconds_of(lambda: generate(**inputs)["images"].numpy(), options.repeats)
    cost, seconds = estimate.generator_cost(generator), statistics.median(times)
    name = f"sampling, {precision}, batch {batch_size}"
    yield rate(name, (cost.flop + cost.saved) * batch_size / 1e9, times, "GFLOP/s", product)
    arithmetic = cost.flop * batch_size / 1e9 / convolved
    width = tf.as_dtype(generator.compute_dtype).size
    read = sum(width * math.prod(v.shape) for v in generator.trainable_variables if v.name == "kernel") / 1e9
    note = (
        f"{seconds * 1e3:.0f} ms: what is computed, {arithmetic * 1e3:.0f} ms at the convolution's rate"
        f" ({arithmetic / seconds:.0%}); to read the kernels once, {read / copied * 1e3:.1f} ms"
    )
    yield rate("", batch_size, times, "images/s", note=note)


def start(repeats: int):
    """Yields the seconds that commands take from a cold process."""
    train = [sys.executable, "-m", "sagan_tf.train"]
    yield _process("sagan_tf.train --help", [*train, "--help"], repeats)
    with tempfile.TemporaryDirectory() as directory:
        digits = [*train, "--flagfile=flags/digits.cfg", "--train_steps=1", "--steps_per_call=1"]
        numbers = iter(range(repeats + 1))
        name = "digits, one step, with start and checkpoint"
        yield _process(name, lambda: [*digits, f"--workdir={directory}/{next(numbers)}"], 3)


def _process(name: str, command, repeats: int) -> Figure:
    def run():
        subprocess.run(
            command() if callable(command) else command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT
        )

    times = sorted(seconds_of(run, repeats))
    return Figure(name, statistics.median(times), times[0], times[-1], "s")


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark")
