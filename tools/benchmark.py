"""How fast the product is, beside what the machine can do: training, sampling, serving, data, scores, start.

Each figure is the median of repeated runs with its spread. Times differ between machines and with what else
they do; shares of the ceilings, measured in the same run, differ less.
"""

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf import cli  # noqa: E402
from sagan_tf.config import IMAGE_SIZES  # noqa: E402
from sagan_tf.options import option  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WHAT = ("train", "sample", "start", "serve", "data", "evaluate")
VARIANTS = ("product", "fresh_fakes", "two_passes", "naive")
_CLASSES = 1000
# What other files measure, with their own options.
_OTHERS = {"serve": "benchmark_export", "data": "benchmark_data", "evaluate": "benchmark_metrics"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure, and of which networks."""

    what: tuple[str, ...] = option(WHAT[:3], "What to measure.", choices=WHAT)
    image_size: int = option(128, "Height and width of the images.", choices=IMAGE_SIZES)
    channels: int = option(32, "Base width of both networks.", minimum=1)
    batch_size: int = option(8, "Images in a batch, over all replicas.", minimum=1)
    precision: tuple[str, ...] = option(
        ("float32", "bfloat16"), "Precisions to measure.", choices=("float32", "bfloat16")
    )
    attention: tuple[int, ...] = option((32,), "Resolutions with attention, in both networks.")
    devices: str = option("auto", "As of sagan_tf.train; with several replicas the batch is divided.")
    xla: bool = option(False, "Compile with XLA.")
    variants: tuple[str, ...] = option(
        VARIANTS[:1],
        "Of the step: product; fresh_fakes (another pass through G); two_passes (D sees real images and fakes"
        " one after the other, W / sigma is computed for each); naive (both).",
        choices=VARIANTS,
    )
    repeats: int = option(7, "Timed calls of each.", minimum=3)
    json: str = option("", "File to write the figures to as well.")


class Figure(typing.NamedTuple):
    """A measured figure.

    Attributes:
      name: what was measured.
      value: the median of the repetitions; `low` and `high` are the extremes.
      unit: of all three.
      share: of the matrix product's rate at the same precision and in the same run, where that says anything.
      note: what belongs to it.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    share: float | None = None
    note: str = ""

    def __str__(self) -> str:
        share = "" if self.share is None else f"{self.share:6.0%}"
        spread = f"[{self.low:.4g} to {self.high:.4g}]"
        return f"{self.name:<44}{self.value:10.4g} {self.unit:<9}{spread:<24}{share:>6}  {self.note}"


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
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": dataclasses.asdict(options), "figures": figures}, file, indent=1)
    return 0


def measure(options: Options):
    """Yields the figures."""
    if "start" in options.what:
        yield from start(options.repeats)
    if not {"train", "sample"} & set(options.what):
        return
    for precision in options.precision:
        product = matrix_product(precision, options.repeats)
        yield product
        yield convolution(precision, options.repeats, product.value)
        if "train" in options.what:
            for variant in options.variants:
                yield from train(options, precision, variant, product.value)
        if "sample" in options.what:
            for batch_size in (1, 64):
                yield sample(options, precision, batch_size, product.value)
    yield copy_bandwidth(options.repeats)


def _seconds(function, repeats: int) -> list[float]:
    """Times of calls after a first one, which may compile."""
    function()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return times


def _rate(name: str, amount: float, times: list[float], unit: str, ceiling=None, note="") -> Figure:
    """`amount` in each of `times`, as a rate."""
    rates = sorted(amount / seconds for seconds in times)
    median = statistics.median(rates)
    return Figure(name, median, rates[0], rates[-1], unit, ceiling and median / ceiling, note)


def matrix_product(precision: str, repeats: int, size: int = 2048) -> Figure:
    """The rate of one large matrix product: the ceiling that shares are of."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((size, size)), precision)
    product = tf.function(lambda: tf.matmul(a, a))
    times = _seconds(lambda: product().numpy(), repeats)
    return _rate(f"matrix product, {precision}", 2 * size**3 / 1e9, times, "GFLOP/s", note=f"{size} x {size}")


def convolution(precision: str, repeats: int, ceiling: float) -> Figure:
    """The rate of a 3x3 convolution such as the networks have."""
    import tensorflow as tf

    images = tf.cast(tf.random.normal((8, 32, 32, 256)), precision)
    kernel = tf.cast(tf.random.normal((3, 3, 256, 256)), precision)
    convolve = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    times = _seconds(lambda: convolve().numpy(), repeats)
    flop = 2 * 8 * 32**2 * 9 * 256**2
    return _rate(f"3x3 convolution, {precision}", flop / 1e9, times, "GFLOP/s", ceiling, "8 x 32 x 32 x 256")


def copy_bandwidth(repeats: int) -> Figure:
    """How fast memory is read and written."""
    import numpy as np

    source = np.ones(2**26, np.float32)
    target = np.empty_like(source)
    times = _seconds(lambda: np.copyto(target, source), repeats)
    return _rate("copy, read and written", 2 * source.nbytes / 1e9, times, "GB/s", note="256 MiB")


def train(options: Options, precision: str, variant: str, ceiling: float):
    """Yields the speed of the training step, as `sagan_tf.train` runs it, on random images."""
    import tensorflow as tf

    from sagan_tf import estimate, experiment
    from sagan_tf.distribution import make_workers

    config = _config(options, precision, variant)
    strategy = make_workers(options.devices).strategy
    experiment.check_replicas(config, strategy)
    state = experiment.make_state(config, _CLASSES, strategy)
    if variant in ("two_passes", "naive"):
        state.discriminator = _TwoPasses(state.discriminator)
    step = experiment.make_step(config, state, strategy)
    size, batch = options.image_size, options.batch_size
    images = tf.random.uniform((batch, size, size, 3), -1.0, 1.0)
    batches = tf.data.Dataset.from_tensors((images, tf.range(batch) % _CLASSES)).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(batches))

    def call():
        return {name: value.numpy() for name, value in step(iterator, tf.constant(1)).items()}

    begin = time.perf_counter()
    call()
    compiling = time.perf_counter() - begin
    times = _seconds(call, options.repeats)
    # Of the product's operations, whatever the variant computes besides.
    counted, replicas = _config(options, precision, "product"), strategy.num_replicas_in_sync
    costs = estimate.estimate(counted, state.generator, state.discriminator, replicas)
    name = f"training, {precision}" + ("" if variant == "product" else f", {variant}")
    yield _rate(name, batch, times, "images/s", note=f"first call {compiling:.0f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = f"{costs.flop_per_image / 1e9:.1f} GFLOP an image; process so far {peak:.1f} GiB"
    yield _rate("", costs.flop_per_image * batch / 1e9, times, "GFLOP/s", ceiling, note)


def _config(options: Options, precision: str, variant: str):
    from sagan_tf.config import Config

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
        reuse_fakes=variant in ("product", "two_passes"),
    )


class _TwoPasses:
    """A discriminator that sees real images and fakes one after the other, and normalizes for each."""

    def __init__(self, discriminator):
        self._discriminator = discriminator

    def __getattr__(self, name):
        return getattr(self._discriminator, name)

    def __call__(self, images, labels, update_u=False):
        import tensorflow as tf

        if not update_u:  # G's step
            return self._discriminator(images, labels)
        real, fake = zip(tf.split(images, 2), tf.split(labels, 2), strict=True)
        return tf.concat([self._discriminator(*real, update_u=True), self._discriminator(*fake)], axis=0)


def sample(options: Options, precision: str, batch_size: int, ceiling: float) -> Figure:
    """The speed of the generator at inference."""
    import tensorflow as tf

    from sagan_tf import estimate, experiment

    generator = experiment.make_generator(_config(options, precision, "product"), _CLASSES)
    z = tf.random.normal((batch_size, generator.z_dim))
    labels = tf.range(batch_size) % _CLASSES
    generate = tf.function(lambda: generator(z, labels, training=False))
    times = _seconds(lambda: generate().numpy(), options.repeats)
    flop = estimate.generator_cost(generator).flop * batch_size / 1e9
    note = f"{statistics.median(times) * 1e3:.0f} ms a batch"
    return _rate(f"sampling, {precision}, batch {batch_size}", flop, times, "GFLOP/s", ceiling, note)


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

    times = sorted(_seconds(run, repeats))
    return Figure(name, statistics.median(times), times[0], times[-1], "s")


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark")
