"""What `sagan_tf.sample` writes beside single pictures: samples, neighbours, an animation of the training.

Each function does its work when its results are asked for, and yields the paths of what it has written.
"""

import sys
import typing

import numpy as np

from sagan_tf import pictures
from sagan_tf.data.dataset import Dataset
from sagan_tf.evaluation.samples import GeneratorSamples
from sagan_tf.inspection import nearest
from sagan_tf.inspection.artist import Artist
from sagan_tf.inspection.sample_folder import Folder
from sagan_tf.inspection.source import SampleSource
from sagan_tf.runs import choice, restoring
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import Progress

_NEIGHBOURS, _COMPARED = 5, 100  # training images that are shown for a sample; samples that are looked up


def picture(folder: Folder, name: str, image: np.ndarray) -> str:
    """Writes a picture, uint8 (height, width, 3), as NAME.png. Returns its path."""
    path = folder.file(f"{name}.png")
    pictures.save(path, image)
    return path


def samples(
    folder: Folder, drawn: GeneratorSamples, class_names, *, batch_size: int, images: bool, npz: bool
) -> typing.Iterator[str]:
    """Writes samples as single images, as one .npz, or both, in one pass.

    Args:
      folder: what to write to.
      drawn: the samples.
      class_names: of the labels; empty for an unconditional generator.
      batch_size: images that are drawn together.
      images, npz: whether single images, and the .npz, are written.
    """
    labels, kept, done = drawn.asked, [], 0
    with Progress("images", drawn.count) as progress:
        for batch in drawn.batches(batch_size):
            numbers = np.arange(done, done + len(batch))
            if images:
                folder.write_images(batch, numbers, labels[numbers], class_names)
            if npz:
                kept.append(batch)
            done += len(batch)
            progress(done)
    if images:
        yield f"{folder.file('images')}: {done:,} images"
    if npz:
        yield folder.write_npz(np.concatenate(kept), labels, class_names)


def neighbours(
    folder: Folder, artist: Artist, dataset: Dataset, spaces: typing.Sequence[nearest.Space]
) -> typing.Iterator[str]:
    """Writes and describes the images of a dataset that are nearest to samples in each space."""
    drawn = artist.samples(max(_COMPARED, artist.rows))
    with Progress("training images", dataset.num_examples) as progress:
        findings = nearest.find(drawn, dataset, spaces, _NEIGHBOURS, progress)
    for finding, name in zip(findings, ("pixels", "features"), strict=False):
        yield finding.line()
        image = nearest.picture(drawn[: artist.rows], artist.names, finding)
        yield picture(folder, f"neighbours_{name}", image)


def training(
    folder: Folder,
    artist: Artist,
    source: SampleSource,
    *,
    workdir: str,
    ema: bool,
    batch_statistics: str,
    animation: str,
) -> typing.Iterator[str]:
    """Writes an animation ("gif" or "webp") of a grid at each of a run's checkpoints.

    `artist` draws with the network of `source`, which is left with the last checkpoint's weights.

    Raises:
      UserError: no checkpoint can be read.
    """
    frames = []
    for step in choice.all_steps(workdir):
        try:
            run = restoring.restore(workdir, str(step), ema, batch_statistics)
        except UserError as error:  # damaged, or deleted in the meantime by the process that trains
            print(f"sample: step {step} is left out: {error}", file=sys.stderr)
            continue
        source.network.set_weights(run.generator.get_weights())  # nothing is traced again
        frames.append(artist.grid(f"step {step:,}"))
    if not frames:
        raise UserError(f"no checkpoint of {workdir} can be read any more", option="what", value="progress")
    path = folder.file(f"progress.{animation}")
    pictures.save_animation(path, frames)
    yield f"{path}: {len(frames)} checkpoints"
