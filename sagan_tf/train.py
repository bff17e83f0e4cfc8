"""Trains a SAGAN. The same command again takes a stopped run up where it was."""

import contextlib

from sagan_tf.runs.config import Config
from sagan_tf.system import cli, options, runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.progress import write_line

_EXIT_DIVERGED = 3
_EXIT_SIGNAL = 128  # plus the number of the signal


def main(config: Config, given) -> int:
    """Starts a run or takes it up. Returns the exit code."""
    # These import TensorFlow, which `--help` and a mistake in an option do not wait for.
    from sagan_tf.monitoring.guards import Diverged
    from sagan_tf.runs import objects
    from sagan_tf.session import failures, workdir
    from sagan_tf.session.session import Session
    from sagan_tf.system.devices import device_names, make_workers

    config = workdir.resolve(config, given)
    environment = runtime.environment(device_names(config.devices))
    config = objects.resolve_speed(config, environment)
    if config.dry_run:
        print(options.to_flagfile(config), end="")
        return 0
    workers = make_workers(config.devices)
    objects.check_replicas(config, workers.strategy)
    if workers.count > 1 and config.on_divergence == "restore":
        raise UserError("--on_divergence=restore: not with several workers; allowed are stop and ignore")
    dataset = objects.open_dataset(config, needs_labels=config.conditional)
    change = workdir.check_images(config, dataset)
    locked = workdir.lock(config.workdir) if workers.is_chief else contextlib.nullcontext()
    with locked, failures.explained(config.workdir, dataset), workers.watched():
        session = Session(config, workers, dataset, environment)
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
    cli.run(main, Config, __doc__, program="sagan_tf.train")


if __name__ == "__main__":
    console()
