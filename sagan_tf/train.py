"""Trains a SAGAN. The same command again takes a stopped run up where it was.

Examples:
  # The quick start: handwritten digits, minutes on two CPU cores
  python -m sagan_tf.train --flagfile=flags/digits.cfg --workdir=runs/digits

  # Your own images, one folder a class, at 64x64; what it costs, then the run
  python -m sagan_tf.train --flagfile=flags/my_images.cfg --dataset=folder:photos --workdir=runs/a --dry_run
  python -m sagan_tf.train --flagfile=flags/my_images.cfg --dataset=folder:photos --workdir=runs/a

  # Take a stopped run up, with more steps
  python -m sagan_tf.train --workdir=runs/digits --train_steps=4800
"""

import contextlib
import os

from sagan_tf.runs import places
from sagan_tf.runs.config import Config
from sagan_tf.system import cli, options, output, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import write_line
from sagan_tf.system.run_directory import is_run

_EXIT_DIVERGED = 3
_EXIT_SIGNAL = 128  # plus the number of the signal


def check_places(config: Config, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    is_new = not is_run(config.workdir)  # one that is taken up knows its images
    if is_new and "dataset" not in given:
        raise UserError(
            "--dataset is missing: name the images, e.g. --dataset=folder:photos, or begin with a preset that"
            " does, e.g. --flagfile=flags/digits.cfg"
        )
    places.check(config, is_new)
    if is_new and not config.dry_run:
        output.check_directory("workdir", config.workdir)


def main(config: Config, given) -> int:
    """Starts a run or takes it up. Returns the exit code."""
    # These import TensorFlow, which `--help` and a mistake in an option do not wait for.
    from sagan_tf import cluster
    from sagan_tf.runs import objects
    from sagan_tf.session import workdir
    from sagan_tf.system.devices import device_names

    config = workdir.resolve(config, given)
    runtime.set_intra_op_threads(config.intra_op_threads)
    environment = runtime.environment(device_names(config.devices))
    config = objects.resolve_speed(config, environment)
    if config.dry_run:
        from sagan_tf.session import plan

        print(options.to_flagfile(config), end="")
        print("\n".join(f"# {line}" for line in plan.describe(config, environment).splitlines()))
        return 0
    with cluster.meet(cluster.find(config.cluster, os.environ), config.join_timeout) as meeting:
        meeting.exit_code = _train(config, environment, meeting)
        return meeting.exit_code


def _train(config: Config, environment: runtime.Environment, meeting) -> int:
    from sagan_tf.monitoring.guards import Diverged
    from sagan_tf.runs import objects
    from sagan_tf.session import agreement, failures, workdir
    from sagan_tf.session.session import Session

    dataset = agreement.open_dataset(config, environment, meeting)
    change = workdir.check_images(config, dataset)
    workers = meeting.join(config.devices, config.join_timeout)
    objects.check_replicas(config, workers.strategy)
    if workers.count > 1 and config.on_divergence == "restore":
        raise UserError("--on_divergence=restore: not with several workers; allowed are stop and ignore")
    locked = workdir.lock(config.workdir) if workers.is_chief else contextlib.nullcontext()
    with locked, failures.explained(config.workdir, dataset), workers.watched(meeting.await_end):
        session = Session(config, workers, dataset, environment, meeting)
        with contextlib.closing(session):
            if change and workers.is_chief:
                write_line(change)
            session.restore()
            if session.is_complete:
                session.score()
                print(
                    f"{config.workdir}: the run is complete at step {session.step};"
                    " a larger --train_steps continues it"
                )
                return 0
            try:
                session.run()
            except Diverged:
                return _EXIT_DIVERGED
    if session.signal is None:
        return 0
    print(f"{session.signal.name}: saved step {session.step}; the same command takes the run up")
    return _EXIT_SIGNAL + session.signal


def console() -> None:
    """The command `sagan-train`."""
    cli.run(main, Config, __doc__, program="sagan_tf.train", check_places=check_places)


if __name__ == "__main__":
    console()
