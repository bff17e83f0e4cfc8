"""The real images that scores compare with, opened before the network sees them."""

import dataclasses
import os
import typing

from sagan_tf import data
from sagan_tf.data import kinds
from sagan_tf.data.dataset import Dataset
from sagan_tf.evaluation.pipeline import real_test
from sagan_tf.evaluation.reference import Reference
from sagan_tf.metrics.metric import RealTest
from sagan_tf.runs import objects
from sagan_tf.runs.config import NO_DATASET, Config
from sagan_tf.system.errors import UserError, naming, renaming

_ALL = "all"  # the split of digits, and of TFDS, that holds every other
_LARGEST_TEST_SIZE = 64  # classifiers of test images learn from no larger ones


class RealImages(typing.NamedTuple):
    """The real images.

    Attributes:
      dataset: to compute the reference from; None if there is a file, or nothing to compare with.
      file: a file of reference statistics, opened, or None.
      test: to test a classifier on, or None.
      split: of the dataset.
    """

    dataset: Dataset | None
    file: Reference | None
    test: RealTest | None
    split: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Empty if nothing is compared with."""
        source = self.file or self.dataset
        return tuple(source.class_names) if source else ()


def open_real(
    reference: str,
    split: str,
    *,
    is_needed: bool,
    image_size: int,
    data_dir: str = "",
    config: Config | None = None,
    test: RealTest | None = None,
) -> RealImages:
    """Opens the real images to compare with.

    Args:
      reference: a dataset, see `data.open_dataset`, or a file of statistics; if empty, the run's own dataset.
      split: of the dataset.
      is_needed: whether anything asks for them; otherwise they are not opened.
      image_size: of the images that are scored.
      data_dir: where TFDS keeps its data; if empty, as the run says.
      config: of the run that is scored, if one is; images are opened as it opens its own.
      test: see `open_test`.

    Raises:
      UserError: see `data.open_dataset`. The options to blame are called reference (dataset, for the run's
        own) and reference_split.
    """
    if not is_needed:
        return RealImages(None, None, test, split)
    if os.path.isfile(reference):
        with naming("reference", reference):
            return RealImages(None, Reference(reference), test, split)
    with renaming(dataset="reference" if reference else "dataset", split="reference_split"):
        if config:
            dataset = _open_as_run(config, reference or config.dataset, split, data_dir)
        else:
            dataset = data.open_dataset(reference, split=split, image_size=image_size, data_dir=data_dir)
    return RealImages(dataset, None, test, split)


def open_test(
    spec: str,
    split: str,
    epochs: float,
    *,
    reference: str,
    image_size: int,
    data_dir: str = "",
    config: Config | None = None,
) -> RealTest:
    """Opens real images to test a classifier on.

    Args:
      spec: a dataset; if empty, the reference's, or else the run's own.
      split: of it; if empty, test, or all images of a dataset without splits.
      epochs: passes of the classifier over the generated images.
      reference, image_size, data_dir, config: see `open_real`. Without a run, the reference's split train is
        taken for what the generator learnt.

    Raises:
      UserError: there is no dataset, or the generator learnt these images; or see `data.open_dataset`. The
        options to blame are called cas_dataset and cas_split.
    """
    reference = "" if os.path.isfile(reference) else reference
    spec = spec or reference or (config.dataset if config else "")
    if spec in ("", NO_DATASET):
        raise UserError("cas needs real images to test on", remedy={"cas_dataset": "digits"})
    with renaming(dataset="cas_dataset", split="cas_split"):
        with naming("dataset", spec):
            kind, _ = kinds.split_spec(spec)
        split = split or ("test" if kind.has_splits else "train")
        learnt, of_learnt = (config.dataset, config.split) if config else (reference, "train")
        if spec == learnt and of_learnt in (split, _ALL):
            raise UserError(
                f"of {spec} is what the generator learnt; name another split, or other images",
                option="split",
                value=split,
                remedy={"dataset": None},
            )
        if config:
            dataset = _open_as_run(config, spec, split, data_dir)
        else:
            dataset = data.open_dataset(spec, split=split, image_size=image_size, data_dir=data_dir)
        if problem := dataset.without_label():
            raise UserError(problem, option="dataset", value=spec)
    return real_test(dataset, split, min(image_size, _LARGEST_TEST_SIZE), epochs)


def _open_as_run(config: Config, spec: str, split: str, data_dir: str) -> Dataset:
    """Opens a dataset as a run opens its own; of other images it learns no crops."""
    changes = {"dataset": spec, "split": split, "data_dir": data_dir or config.data_dir}
    changes["random_crop"] = config.random_crop and spec == config.dataset
    return objects.open_dataset(dataclasses.replace(config, **changes))
