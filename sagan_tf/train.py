"""Trains a SAGAN. The same command again takes a stopped run up where it was."""

import contextlib
import dataclasses
import fcntl
import os

from sagan_tf import cli, options
from sagan_tf.config import INCEPTION, Config
from sagan_tf.options import UserError


def main(config: Config, given) -> int:
    """Starts a run or takes it up. Returns the exit code."""
    import tensorflow as tf

    from sagan_tf import experiment
    from sagan_tf.distribution import make_workers

    config = _resolve(config, given)
    if config.dry_run:
        print(options.to_flagfile(config), end="")
        return 0
    workers = make_workers(config.devices)
    experiment.check_replicas(config, workers.strategy)
    dataset = experiment.open_dataset(config)
    with _lock(config.workdir) if workers.is_chief else contextlib.nullcontext():
        try:
            with workers.watched():
                return _train(config, workers, dataset)
        except tf.errors.InvalidArgumentError:
            if dataset.failure is not None:  # an image that could not be read when its turn came
                raise dataset.failure from None
            raise


def _resolve(config: Config, given) -> Config:
    """The configuration to use: that of the run in the workdir, if any, with what may change changed."""
    from sagan_tf import experiment

    if not os.path.isfile(os.path.join(config.workdir, experiment.CONFIG_FILE)):
        return config
    old = experiment.read_config(config.workdir)
    changed = {name: getattr(config, name) for name in given | {"workdir"}}
    new = dataclasses.replace(old, **changed)
    options.check(new)
    changes = options.difference(old, new)
    if changes:
        raise UserError(
            f"--workdir={config.workdir}: holds a run of another configuration ({'; '.join(changes)});"
            " give the same flags to take it up, or another --workdir"
        )
    return new


def _lock(workdir: str):
    """Makes the workdir and keeps any second trainer out of it until the file that is returned is closed."""
    try:
        os.makedirs(workdir, exist_ok=True)
        file = open(os.path.join(workdir, "lock"), "w")
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"--workdir={workdir}: another process is training in it") from None
    return file


def _train(config: Config, workers, dataset) -> int:
    from sagan_tf import experiment
    from sagan_tf.data.preflight import preflight
    from sagan_tf.training import loop

    check = preflight(dataset, config.workdir, loop.report) if workers.is_chief else None
    state = experiment.make_state(config, dataset.num_classes, workers.strategy)
    saved = experiment.checkpoints(config.workdir, config.keep_checkpoints, config.keep_every_steps)
    first_step = _restore(saved, state.checkpoint(), workers)
    if first_step >= config.train_steps:
        print(
            f"{config.workdir}: the run is complete at step {first_step}; a larger --train_steps continues it"
        )
        return 0
    # Only the chief writes; the others follow its calls.
    events = _events(config, state, saved, dataset, check, first_step) if workers.is_chief else []
    print(f"training {config.workdir} from step {first_step} on {workers}", flush=True)
    with loop.Interrupt() as interrupt:
        step = loop.run(
            experiment.make_step(config, state, workers.strategy),
            experiment.make_iterator(config, dataset, workers.strategy, first_step),
            first_step=first_step,
            last_step=config.train_steps,
            steps_per_call=config.steps_per_call,
            events=events,
            report=loop.report,
            interrupt=interrupt,
            agree=workers.agree,
        )
    if interrupt.signal is None:
        return 0
    if workers.is_chief and step not in saved.steps():
        saved.save(state.checkpoint(), step)
    print(f"{interrupt.signal.name}: saved step {step}; the same command takes the run up")
    return 128 + interrupt.signal


def _restore(saved, checkpoint, workers) -> int:
    """Reads the newest sound checkpoint, for all workers that which the chief has chosen. Returns its step, or 0."""
    from sagan_tf.training import loop
    from sagan_tf.training.checkpoint import DamagedCheckpointError

    step = saved.restore_newest(checkpoint, loop.report) or 0 if workers.is_chief else 0
    _, step = workers.agree(False, step)
    if step and not workers.is_chief:
        try:
            saved.restore(checkpoint, step)
        except DamagedCheckpointError as error:
            raise UserError(
                f"worker {workers.index} cannot read the checkpoint of step {step} ({error}): all workers need the"
                " same --workdir, on storage that all of them see"
            ) from error
    return step


def _events(config: Config, state, saved, dataset, check, first_step: int) -> list:
    """What is done every so many steps. Before a run's first step it also writes what introduces the run."""
    from sagan_tf import experiment
    from sagan_tf.training import loop, samples
    from sagan_tf.training.summaries import Reporter, state_scalars

    experiment.write_description(config, dataset.class_names)
    reporter = Reporter(config.workdir, first_step)
    if first_step == 0:
        reporter.introduce(_as_dictionary(config), check.grid, _score_names(config))
        samples.write_reals(dataset, state.generator.classes, reporter)
    sampler = samples.Sampler(state, reporter, config.seed, dataset)
    checkpoint = state.checkpoint()

    def summarize(step, scalars):
        speed = {"speed/images_per_second": config.batch_size * scalars["speed/steps_per_second"]}
        reporter.scalars(step, scalars | speed | state_scalars(state) | sampler.attention_shares())
        reporter.flush()

    events = [
        loop.Event(config.summary_every_steps, summarize),
        loop.Event(config.sample_every_steps, lambda step, _: sampler.write_samples(step)),
        loop.Event(config.checkpoint_every_steps, lambda step, _: saved.save(checkpoint, step)),
    ]
    if config.evaluate_every_steps:
        from sagan_tf.training_scores import TrainingScores

        scores = TrainingScores(config, state, dataset, reporter)
        events.append(loop.Event(config.evaluate_every_steps, scores))
    return events


def _as_dictionary(config: Config) -> dict:
    """The options by name: numbers and truth values as they are, lists as text."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: options.format_value(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _score_names(config: Config) -> list[str]:
    """Under which names scores will be reported, as far as can be known before the network is loaded."""
    if not config.evaluate_every_steps:
        return []
    from sagan_tf.metrics.scores import METRICS

    inception = config.inception == INCEPTION
    return [title for name in config.evaluate_metrics for title in METRICS[name].titles(inception).values()]


def console() -> None:
    """The command `sagan-train`."""
    cli.run(main, Config, __doc__, program="sagan_tf.train")


if __name__ == "__main__":
    console()
