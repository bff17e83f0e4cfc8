"""The images that a run learns from: recorded in its directory, and compared when it is taken up."""

import dataclasses
import json
import os
import typing

from sagan_tf.data.kinds import IN_FILES
from sagan_tf.system import class_names, files, paths
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import RunFiles


class TrainingData(typing.NamedTuple):
    """What a run records about its images.

    Attributes:
      dataset, split: as the configuration has them.
      place: `dataset` with an absolute path: it can be found from another working directory too.
      images: how many.
      class_names: of the labels.
      identities: digests, see `Dataset.identities`.
    """

    dataset: str
    split: str
    place: str
    images: int
    class_names: list[str]
    identities: list[str]

    def counts(self) -> str:
        """Images and classes, in words."""
        return f"{self.images:,} images in {len(self.class_names):,} classes"


def describe(config, dataset) -> TrainingData:
    """What a run with this configuration and `Dataset` records."""
    before, identities = read(config.workdir), dataset.identities()
    if before and identities & set(before.identities):  # by other names, in other files: all of them count
        identities |= set(before.identities)
    return TrainingData(
        config.dataset,
        config.split,
        # The dataset may have been opened where the run found it before, see `located`.
        paths.absolute(dataset.name, IN_FILES) if _is_in_files(config.dataset) else config.dataset,
        dataset.num_examples,
        list(dataset.class_names),
        sorted(identities),
    )


def _is_in_files(spec: str) -> bool:
    return spec.partition(":")[0] in IN_FILES


def read(workdir: str) -> TrainingData | None:
    """What a run has recorded; None if an earlier version began it. Raises UserError if it is damaged."""
    path = RunFiles(workdir).data
    if not os.path.isfile(path):
        return None
    try:
        return TrainingData(**files.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove it") from error


def write(directory: str, data: TrainingData) -> None:
    """Records the images in a run's directory. Raises OSError."""
    files.write(RunFiles(directory).data, json.dumps(data._asdict(), indent=1) + "\n")


def located(config):
    """The configuration with the place where the run found its images, if they are there still.

    A relative path stands for what it named where the run began, not for what it names here.
    """
    recorded = read(config.workdir) if config.workdir else None
    if not recorded or recorded.dataset != config.dataset or not _is_in_files(config.dataset):
        return config
    exists = os.path.exists(recorded.place.partition(":")[2])
    return dataclasses.replace(config, dataset=recorded.place) if exists else config


def compare(config, dataset) -> str:
    """What has changed in the images since a run recorded them, as a line for the user; "" if nothing has.

    Args:
      config: of the run, with the images to go on with.
      dataset: these images.

    Raises:
      UserError: they are of other classes, or `config` names another place and they are not the same images.
    """
    before = read(config.workdir)
    now = describe(config, dataset)
    names = list(class_names.read(RunFiles(config.workdir).classes))
    is_same = before is not None and bool(set(before.identities) & set(now.identities))
    differences = class_names.differences(names, now.class_names)
    if differences and config.conditional:
        raise UserError(
            f"the run in {config.workdir} learnt other classes ({differences}): {_advice(before)}",
            option="dataset",
            value=config.dataset,
        )
    if is_same or before is None:
        return ""
    changed = f"{before.counts()} before, {now.counts()} now"
    if before.split != now.split or (before.dataset != now.dataset and before.place != now.place):
        raise UserError(
            f"these are not the images that the run in {config.workdir} learnt from, {before.dataset} with"
            f" split {before.split} ({changed}): {_advice(before)}",
            option="dataset",
            value=config.dataset,
        )
    return f"{config.dataset}: the images have changed since the run was here last: {changed}; it goes on"


def _advice(before: TrainingData | None) -> str:
    began = f"{before.dataset}, which" if before else "the dataset that"
    return f"give {began} it began with, or another directory for a new run"
