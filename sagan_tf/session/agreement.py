"""Checks, before TensorFlow joins the workers of a run, that they agree on what must be alike."""

import dataclasses

from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.system import options, runtime
from sagan_tf.system.devices import device_names

# Each host may have its own paths and devices.
_OF_A_HOST = {"workdir", "data_dir", "dataset", "devices", "cluster", "join_timeout", "dry_run"}


def _facts(config: Config, environment: runtime.Environment, replicas: int) -> dict:
    """The options, the versions and the number of replicas, by their names in messages."""
    names = [field.name for field in dataclasses.fields(config) if field.name not in _OF_A_HOST]
    flags = {f"--{name}": options.format_value(getattr(config, name)) for name in names}
    versions = {name: environment.record()[name] for name in ("sagan_tf", "tensorflow", "keras")}
    return flags | versions | {"replicas of a worker": replicas}


def open_dataset(config: Config, environment: runtime.Environment, meeting):
    """The run's images: the chief opens them first, since it prepares those of TFDS.

    Raises:
      UserError: the workers differ in an option, a version, or the images.
    """
    replicas = len(device_names(config.devices))
    meeting.compare(_facts(config, environment, replicas))
    dataset = meeting.chief_first(
        lambda: objects.open_dataset(config, needs_labels=config.conditional),
        "waiting for worker 0 to open the images",
    )
    meeting.compare(
        {
            "images": dataset.num_examples,
            "classes": ", ".join(dataset.class_names),
            "digest of the images": dataset.digest.identity,
        }
    )
    return dataset
