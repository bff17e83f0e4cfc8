"""The machine's limits, and the form of measured figures."""

import statistics
import sys
import time
import typing


class Figure(typing.NamedTuple):
    """A measured figure.

    Attributes:
      name: what was measured.
      value: the median of the repetitions; `low` and `high` are the extremes.
      unit: the unit of these.
      share: value divided by the rate of a matrix product at this precision in the same run, or None.
      note: a remark.
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


def peak_memory() -> int:
    """The largest memory of this process so far, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:  # not Linux. On Linux `ru_maxrss` would include the parent's memory.
        pass
    import resource  # here, as Windows has no such module

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def seconds_of(function, repeats: int) -> list[float]:
    """Seconds of each call after a first one, which may compile."""
    return seconds_in_turns([function], repeats)[0]


def seconds_in_turns(functions, repeats: int) -> list[list[float]]:
    """The same for several functions that are called in turns, so that other load slows all of them."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, of_function in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            of_function.append(time.perf_counter() - begin)
    return times


def rate(name: str, amount: float, times: list[float], unit: str, ceiling=None, note="") -> Figure:
    """The rate `amount` / seconds of the calls, as a figure."""
    rates = sorted(amount / seconds for seconds in times)
    median = statistics.median(rates)
    return Figure(name, median, rates[0], rates[-1], unit, ceiling and median / ceiling, note)


def matrix_product(precision: str, repeats: int, size: int = 2048) -> Figure:
    """The rate of one large matrix product, which shares refer to."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((size, size)), precision)
    product = tf.function(lambda: tf.matmul(a, a))
    times = seconds_of(lambda: product().numpy(), repeats)
    return rate(f"matrix product, {precision}", 2 * size**3 / 1e9, times, "GFLOP/s", note=f"{size} x {size}")


def convolution(precision: str, repeats: int, ceiling: float) -> Figure:
    """The rate of a 3x3 convolution such as the networks have."""
    import tensorflow as tf

    images = tf.cast(tf.random.normal((8, 32, 32, 256)), precision)
    kernel = tf.cast(tf.random.normal((3, 3, 256, 256)), precision)
    convolve = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    times = seconds_of(lambda: convolve().numpy(), repeats)
    flop = 2 * 8 * 32**2 * 9 * 256**2
    return rate(f"3x3 convolution, {precision}", flop / 1e9, times, "GFLOP/s", ceiling, "8 x 32 x 32 x 256")


def copy_bandwidth(repeats: int) -> Figure:
    """The speed of memory: bytes read and written."""
    import numpy as np

    source = np.ones(2**26, np.float32)
    target = np.empty_like(source)
    times = seconds_of(lambda: np.copyto(target, source), repeats)
    return rate("copy, read and written", 2 * source.nbytes / 1e9, times, "GB/s", note="256 MiB")
