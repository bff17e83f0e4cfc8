"""Measures the speed of data: preparation, batches from prepared records, and the memory they take.

Images are made up: smooth colours with a little grain. As JPEGs of quality 95 they are about as large as
photographs.
"""

import dataclasses
import io
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import option  # noqa: E402
from sagan_tf.system.processor import usable_cpus  # noqa: E402
from tools.ceilings import peak_memory  # noqa: E402

_PHOTOGRAPHS = 48  # number of different images; each is used many times


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    image_size: int = option(128, "Height and width of the images.", minimum=8)
    batch_size: int = option(64, "Images in a batch.", minimum=1)
    images: int = option(12_000, "Images in the records.", minimum=1)
    seconds: float = option(10.0, "How long each kind of records is read.", minimum=0.1)
    directory: str = option(
        "", "Where to put the records, some 700 MB; a temporary directory if empty.", is_path=True
    )


class MadeUpPhotographs:
    """A source of made-up images. `get` returns arrays, or JPEGs if `encoded`."""

    class_names, labels = ("all",), None

    def __init__(self, count: int, height: int, width: int, encoded: bool):
        import numpy as np
        from PIL import Image

        rng = np.random.default_rng(0)
        self._count, self._images = count, []
        for _ in range(_PHOTOGRAPHS):
            small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
            smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
            grain = smooth + rng.normal(0, 6, (height, width, 1))
            image = np.clip(grain, 0, 255).astype(np.uint8)
            if encoded:
                file = io.BytesIO()
                Image.fromarray(image).save(file, "JPEG", quality=92)
                image = file.getvalue()
            self._images.append(image)

    def __len__(self) -> int:
        return self._count

    def get(self, index: int):
        """The image and its label."""
        return self._images[index % _PHOTOGRAPHS], 0

    def describe(self, index: int) -> str:
        """Name of an image."""
        return f"image {index}"


def write_records(directory: str, count: int, image_size: int, encoding: str) -> None:
    """Prepares made-up images of the right size."""
    _prepare(MadeUpPhotographs(count, image_size, image_size, False), directory, image_size, encoding)


def _prepare(examples, directory, image_size, encoding):
    from sagan_tf.data import images, prepare, records

    settings = records.Settings(
        source=f"{len(examples)} made-up images",
        split="train",
        image_size=image_size,
        encoding=encoding,
        quality=95,
        images_per_shard=3000,
        bad_images="refuse",
        resize=images.METHOD,
        source_digest="",
    )
    prepare.prepare(examples, settings, directory, usable_cpus(), lambda line: None)


def images_per_second(dataset, batch_size: int, seconds: float) -> float:
    """Speed of a dataset's training batches, after the first ten."""
    iterator = iter(dataset.batches(batch_size, seed=0))
    for _ in range(10):
        next(iterator)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(iterator)
        count += batch_size
    return count / (time.perf_counter() - start)


def preparation(height: int, width: int, image_size: int, count: int) -> tuple[float, float]:
    """Large JPEGs a second on the same cores: prepared, and only decoded at full size by libjpeg."""
    import concurrent.futures

    from PIL import Image

    examples = MadeUpPhotographs(count, height, width, True)
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        _prepare(examples, directory, image_size, "raw")
        prepared = count / (time.perf_counter() - start)
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(usable_cpus()) as pool:
        list(pool.map(lambda index: Image.open(io.BytesIO(examples.get(index)[0])).load(), range(count)))
    return prepared, count / (time.perf_counter() - start)


def measure(options: Options) -> dict[str, float]:
    """All figures, by name."""
    from sagan_tf import data

    figures = {}
    with tempfile.TemporaryDirectory(dir=options.directory or None) as directory:
        for encoding in ("raw", "jpeg"):
            path = os.path.join(directory, encoding)
            write_records(path, options.images, options.image_size, encoding)
            dataset = data.open_dataset(f"records:{path}", image_size=options.image_size, in_memory="no")
            speed = images_per_second(dataset, options.batch_size, options.seconds)
            figures[f"{encoding} records, images/s"] = speed
        figures["memory of the process at its peak, MB"] = peak_memory() / 2**20
        for height, width in ((375, 500), (1536, 2048)):
            count = 300_000_000 // (height * width)  # some 10 s of decoding on two cores
            prepared, decoded = preparation(height, width, options.image_size, count)
            figures[f"preparing JPEGs of {width} x {height}, images/s"] = prepared
            figures[f"decoding JPEGs of {width} x {height} only, images/s"] = decoded
    return figures


def main(options: Options, given) -> int:
    """Prints the figures. Returns the exit code."""
    del given
    for name, value in measure(options).items():
        print(f"{name:50s} {value:12,.1f}")
    return 0


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark_data")
