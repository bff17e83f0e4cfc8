"""Times an exported generator against calling the Keras network, and measures its size and loading time."""

import dataclasses
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import option  # noqa: E402
from sagan_tf.system.processor import usable_cpus  # noqa: E402

VARIANTS = (
    "keras",
    "keras_compiled",
    "spectral_norm",
    "float32",
    "bfloat16_weights",
    "float16_weights",
    "bfloat16",
)
_TEXTS = {
    "keras": "Keras network, called",
    "keras_compiled": "Keras network, in a tf.function",
    "spectral_norm": "SavedModel, spectral normalization in every call",
    "float32": "SavedModel, the default",
    "bfloat16_weights": "SavedModel, --weights_dtype=bfloat16",
    "float16_weights": "SavedModel, --weights_dtype=float16",
    "bfloat16": "SavedModel, --precision=bfloat16",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Of which network, and on what."""

    image_size: int = option(128, "Height and width of the images.", minimum=32)
    channels: int = option(64, "Base width of the generator.", minimum=1)
    classes: int = option(1000, "Number of classes.", minimum=1)
    attention: tuple[int, ...] = option((32,), "Resolutions with attention.")
    batch_sizes: tuple[int, ...] = option((1, 64), "Images that are drawn together.", minimum=1)
    seconds: float = option(3.0, "How long to repeat each, at least.", minimum=0.1)
    variants: tuple[str, ...] = option(VARIANTS[:4], "What to time.", choices=VARIANTS)


def main(options: Options, given) -> int:
    """Prints a line for each variant. Returns the exit code."""
    del given
    header = "".join(f"  {f'batch {size}':>12}" for size in options.batch_sizes)
    print(f"{'seconds a call, median':<50}{header}{'file':>11}{'loading':>9}", flush=True)
    for name, times, size, loading in measure(options):
        cells = "".join(f"  {seconds:12.4f}" for seconds in times)
        files = f"{size / 2**20:7.1f} MiB{loading:7.2f} s" if size else ""
        print(f"{_TEXTS[name]:<50}{cells}{files}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, {usable_cpus()} cores")
    return 0


def measure(options: Options):
    """Times the variants in turn, so that a change of the machine's speed meets all alike.

    Returns: for each its name, median seconds a call for each batch size, bytes on the disk and seconds
      to load (None for the Keras network).
    """
    import numpy as np

    generator = _generator(options)
    with tempfile.TemporaryDirectory() as directory:
        made = {name: _make(name, generator, os.path.join(directory, name)) for name in options.variants}
    times = {name: [] for name in made}
    for size in options.batch_sizes:
        z = np.random.default_rng(0).standard_normal((size, generator.z_dim)).astype(np.float32)
        labels = np.arange(size, dtype=np.int32) % options.classes
        seconds = {name: [] for name in made}
        for name in made:
            made[name][0](z, labels)  # is traced and allocates
        begin = time.perf_counter()
        while len(seconds[name]) < 2 or time.perf_counter() - begin < options.seconds * len(made):
            for name in made:
                start = time.perf_counter()
                made[name][0](z, labels)
                seconds[name].append(time.perf_counter() - start)
        for name in made:
            times[name].append(statistics.median(seconds[name]))
    return [(name, times[name], *made[name][1:]) for name in made]


def _generator(options: Options):
    """A generator with weights of the size that trained ones have."""
    import keras

    from sagan_tf.networks import Generator

    keras.utils.set_random_seed(0)
    generator = Generator(
        options.image_size,
        channels=options.channels,
        classes=options.classes,
        attention=options.attention,
        fast=True,
    )
    generator.build()
    return generator


def _make(name: str, generator, directory: str):
    """A function of z and labels, bytes on the disk and seconds to load."""
    import tensorflow as tf

    from sagan_tf.networks.inference import inference_copy
    from sagan_tf.serving.module import ServedGenerator

    if name == "keras":
        return lambda z, labels: generator(z, labels).numpy(), None, None
    if name == "keras_compiled":
        compiled = tf.function(lambda z, labels: generator(z, labels), reduce_retracing=True)
        return lambda z, labels: compiled(tf.constant(z), tf.constant(labels)).numpy(), None, None
    copy = inference_copy(
        generator,
        bake=name != "spectral_norm",
        dtype="mixed_bfloat16" if name == "bfloat16" else "float32",
    )
    os.makedirs(directory)
    class_file = os.path.join(directory, "labels.txt")
    with open(class_file, "w") as file:
        file.writelines(f"{label}\n" for label in range(generator.classes))
    weights = name.removesuffix("_weights") if name.endswith("_weights") else "float32"
    ServedGenerator(copy, class_file, weights).save(directory)
    os.remove(class_file)
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names]
    size = sum(os.path.getsize(path) for path in paths)
    start = time.perf_counter()
    model = tf.saved_model.load(directory)
    loading = time.perf_counter() - start
    signature = model.signatures["serving_default"]

    def call(z, labels):
        call.model = model  # which must outlive its signature
        return signature(z=tf.constant(z), labels=tf.constant(labels))["images"].numpy()

    return call, size, loading


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark_export")
