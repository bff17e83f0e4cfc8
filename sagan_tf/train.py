"""Trains a SAGAN. The same command again takes a stopped run up where it was."""

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

    config = _resolve(config, given)
    if config.dry_run:
        print(options.to_flagfile(config), end="")
        return 0
    strategy = experiment.make_strategy(config.devices)
    experiment.check_batch_size(config, strategy)
    dataset = experiment.open_dataset(config)
    with _lock(config.workdir):
        try:
            return _train(config, strategy, dataset)
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


def _train(config: Config, strategy, dataset) -> int:
    from sagan_tf import experiment
    from sagan_tf.data.preflight import preflight
    from sagan_tf.training import loop, samples
    from sagan_tf.training.summaries import Reporter

    check = preflight(dataset, config.workdir, loop.report)
    state = experiment.make_state(config, dataset.num_classes, strategy)
    saved = experiment.checkpoints(config.workdir, config.keep_checkpoints)
    first_step = saved.restore_newest(state.checkpoint(), loop.report) or 0
    if first_step >= config.train_steps:
        print(
            f"{config.workdir}: the run is complete at step {first_step}; a larger --train_steps continues it"
        )
        return 0
    experiment.write_description(config, dataset.class_names)
    reporter = Reporter(config.workdir, first_step)
    if first_step == 0:
        reporter.introduce(_as_dictionary(config), check.grid, _score_names(config))
        samples.write_reals(dataset, state.generator.classes, reporter)
    print(
        f"training {config.workdir} from step {first_step} on {strategy.num_replicas_in_sync} replica(s)",
        flush=True,
    )
    with loop.Interrupt() as interrupt:
        step = loop.run(
            experiment.make_step(config, state, strategy),
            experiment.make_iterator(config, dataset, strategy, first_step),
            first_step=first_step,
            last_step=config.train_steps,
            steps_per_call=config.steps_per_call,
            events=_events(config, state, saved, reporter, dataset),
            report=loop.report,
            interrupt=interrupt,
        )
    return _stopped(interrupt.signal, step, state, saved) if interrupt.signal else 0


def _stopped(signal, step: int, state, saved) -> int:
    """Saves what a signal has interrupted. Returns the exit code."""
    if step not in saved.steps():
        saved.save(state.checkpoint(), step)
    print(f"{signal.name}: saved step {step}; the same command takes the run up")
    return 128 + signal


def _events(config: Config, state, saved, reporter, dataset) -> list:
    """What is done every so many steps."""
    from sagan_tf.training import loop, samples
    from sagan_tf.training.summaries import state_scalars

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
