"""Measures how long the quick start's preset trains until its samples are the digits that were asked for.

A support vector machine that has learnt real digits reads 1,000 samples of the averaged generator at every
checkpoint. Seconds count from the command, with start and compilation, and also from the first step.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # where nothing is installed

from sagan_tf.system import cli  # noqa: E402
from sagan_tf.system.options import MAX_SEED, option  # noqa: E402

TARGETS = (0.95, 0.99)


@dataclasses.dataclass(frozen=True)
class Options:
    """How far to train."""

    train_steps: int = option(1500, "Generator steps.", minimum=1)
    every: int = option(150, "Steps between checkpoints.", minimum=1)
    seed: int = option(0, "Seed of the run.", minimum=0, maximum=MAX_SEED)


def main(options: Options, given) -> int:
    """Prints a line for each checkpoint, then the seconds to each target. Returns the exit code."""
    del given
    with tempfile.TemporaryDirectory() as workdir:
        begin = time.time()
        command = [sys.executable, "-m", "sagan_tf.train", f"--flagfile={ROOT}/flags/digits.cfg"]
        flags = {
            "workdir": workdir,
            "train_steps": options.train_steps,
            "checkpoint_every_steps": options.every,
            "keep_checkpoints": options.train_steps,
            "summary_every_steps": options.every,
            "sample_every_steps": options.train_steps,
            "seed": options.seed,
        }
        command += [f"--{name}={value}" for name, value in flags.items()]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        times, judge = training_times(workdir), Judge()
        print(f"{'step':>6}{'since the command':>20}{'of training':>14}{'agreement':>12}{'variety':>10}")
        reached = {}
        for step in sorted(map(int, os.listdir(os.path.join(workdir, "checkpoints")))):
            if step not in times:
                continue
            agreement, variety = judge(workdir, step)
            moment, training = times[step][0] - begin, times[step][1]
            print(
                f"{step:>6}{moment:>18.0f} s{training:>12.0f} s{agreement:>12.1%}{variety:>10.2f}", flush=True
            )
            for target in TARGETS:
                if agreement >= target:
                    reached.setdefault(target, (training, moment))
    for target in TARGETS:
        what = "not reached" if target not in reached else "{:.0f} s of training ({:.0f} s with start)"
        print(f"{target:.0%} agreement: {what.format(*reached.get(target, ()))}")
    return 0


def training_times(workdir: str) -> dict[int, tuple[float, float]]:
    """The clock's time and the seconds of training so far, by step, from the run's metrics."""
    times, seconds, before = {}, 0.0, 0
    with open(os.path.join(workdir, "metrics.jsonl"), encoding="utf-8") as file:
        for line in map(json.loads, file):
            if "speed/steps_per_second" in line:
                seconds += (line["step"] - before) / line["speed/steps_per_second"]
                before = line["step"]
                times[before] = (line["time"], seconds)
    return times


class Judge:
    """Reads samples as digits, with a support vector machine that learnt 70% of scikit-learn's digits."""

    def __init__(self):
        from sklearn import datasets, model_selection, svm

        from sagan_tf import data

        digits = datasets.load_digits()
        learn, hold, learn_labels, hold_labels = model_selection.train_test_split(
            digits.data / 16.0, digits.target, test_size=0.3, random_state=0, stratify=digits.target
        )
        self._classifier = svm.SVC(C=10).fit(learn, learn_labels)
        self.accuracy = self._classifier.score(hold, hold_labels)  # on the other real digits
        real = list(data.open_dataset("digits", image_size=32).once(256))
        images, labels = (np.concatenate(part) for part in zip(*real, strict=True))
        self._real_spread = _spread(images * (2 / 255), labels)

    def __call__(self, workdir: str, checkpoint: str | int = "latest") -> tuple[float, float]:
        """Share of 1,000 EMA samples that are read as the class asked for, and their variety.

        Variety is the standard deviation of a pixel within a class, averaged over pixels and classes, as a
        share of the real images' deviation.
        """
        from sagan_tf.runs import restoring

        run = restoring.restore(str(workdir), checkpoint=str(checkpoint))
        labels = np.arange(1000, dtype=np.int32) % 10
        z = np.random.default_rng(1).standard_normal((1000, run.config.z_dim)).astype(np.float32)
        images = [run.generator(z[i : i + 100], labels[i : i + 100]).numpy() for i in range(0, 1000, 100)]
        samples = np.concatenate(images)
        agreement = self._classifier.score(_shrink(samples), labels)
        return agreement, _spread(samples, labels) / self._real_spread


def _spread(images, labels) -> float:
    return np.mean([images[labels == label].std(axis=0).mean() for label in range(10)])


def _shrink(images):
    """float32 (n, 32, 32, 3) in [-1, 1] -> (n, 64) in [0, 1]: back to the 8x8 of the real digits."""
    from PIL import Image

    grey = ((images.mean(axis=-1) + 1) * 127.5).clip(0, 255).astype(np.uint8)
    small = [np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)) for image in grey]
    return np.reshape(small, (len(small), 64)) / 255.0


if __name__ == "__main__":
    cli.run(main, Options, __doc__, program="tools/benchmark_digits")
