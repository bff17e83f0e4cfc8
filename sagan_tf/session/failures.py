"""Turns failures of the machine and of the data into one line that says what to do."""

import contextlib
import errno
import os

import tensorflow as tf

from sagan_tf.monitoring import estimate
from sagan_tf.runs import run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError


@contextlib.contextmanager
def explained(workdir: str, dataset):
    """Raises UserError for a full disk, and for an image that cannot be read when its turn comes."""
    try:
        yield
    except tf.errors.InvalidArgumentError:
        if dataset.failure is None:
            raise
        raise dataset.failure from None
    except (OSError, tf.errors.OpError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        steps = run_files.checkpoints(workdir).steps()
        kept = f"the run is kept as of step {steps[-1]}" if steps else "there is no checkpoint yet"
        raise UserError(
            f"--workdir={workdir}: {os.strerror(errno.ENOSPC)}; {kept}: make room, and the same"
            " command takes the run up"
        ) from error


@contextlib.contextmanager
def memory_explained(config: Config, state, replicas: int):
    """Prints how much memory a step takes. Raises UserError, with what to lower, if memory runs out."""
    found = estimate.estimate(config, state.generator, state.discriminator, replicas)
    print(estimate.describe(found, config.batch_size), flush=True)
    for line in estimate.describe_residual_blocks(state.generator, state.discriminator):
        print(line, flush=True)
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if not estimate.is_out_of_memory(error):
            raise
        raise estimate.out_of_memory(config, found) from None
