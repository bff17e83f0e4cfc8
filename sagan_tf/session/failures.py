"""Turns failures of the machine and of the data into one line that says what to do."""

import contextlib

import tensorflow as tf

from sagan_tf.monitoring import estimate
from sagan_tf.runs import run_files
from sagan_tf.runs.config import Config
from sagan_tf.system.errors import UserError, failure_of_the_system


@contextlib.contextmanager
def explained(workdir: str, dataset):
    """Turns the operating system's refusals, such as a full disk, into a UserError."""
    try:
        yield
    except tf.errors.InvalidArgumentError:
        if dataset.failure is None:
            raise
        raise dataset.failure from None
    except (OSError, tf.errors.OpError) as error:
        if not (reason := failure_of_the_system(error)):
            raise
        try:
            steps = run_files.checkpoints(workdir).steps()
        except OSError:
            steps = []
        kept = f"the run is kept as of step {steps[-1]}" if steps else "there is no checkpoint yet"
        raise UserError(
            f"{reason}; {kept}: when that is mended, the same command takes the run up",
            option="workdir",
            value=workdir,
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
