"""Places that a run's configuration names: refused if they are not there, before TensorFlow is imported."""

from sagan_tf.data import kinds
from sagan_tf.runs.config import Config, check_inception
from sagan_tf.system.errors import renaming
from sagan_tf.system.run_directory import check_is_run


def check(config: Config, is_new: bool) -> None:
    """Raises UserError if a run would not find what it starts with.

    Args:
      config: of the run.
      is_new: whether it begins. A run that is taken up knows its images and has its weights.
    """
    if config.evaluate_every_steps:
        check_inception(config.inception)
        if config.evaluate_reference:
            split = config.evaluate_reference_split
            with renaming(split="evaluate_reference_split"):
                kinds.check_reference("evaluate_reference", config.evaluate_reference, split)
    if is_new:
        if config.initialize_from:
            check_is_run(config.initialize_from, "initialize_from")
        kinds.check("dataset", config.dataset, config.split)
