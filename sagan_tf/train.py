"""Trains a SAGAN. The same command again takes a stopped run up where it was."""

import contextlib
import dataclasses
import errno
import os
import sys

from tqdm import tqdm

from sagan_tf.runs.config import AUTO, INCEPTION, Config
from sagan_tf.system import cli, files, options, runtime
from sagan_tf.system.errors import UserError

_EXIT_DIVERGED = 3


def main(config: Config, given) -> int:
    """Starts a run or takes it up. Returns the exit code."""
    import tensorflow as tf

    from sagan_tf.runs import objects, run_files
    from sagan_tf.system.devices import device_names, make_workers

    config = _resolve(config, given)
    environment = runtime.environment(device_names(config.devices))
    config = objects.resolve_speed(config, environment)
    if config.dry_run:
        print(options.to_flagfile(config), end="")
        return 0
    workers = make_workers(config.devices)
    objects.check_replicas(config, workers.strategy)
    if workers.count > 1 and config.on_divergence == "restore":
        raise UserError("--on_divergence=restore: not with several workers; allowed are stop and ignore")
    dataset = objects.open_dataset(config)
    run_files.check_classes(config, dataset)
    with _lock(config.workdir) if workers.is_chief else contextlib.nullcontext():
        try:
            with workers.watched():
                return _train(config, workers, dataset, environment)
        except tf.errors.InvalidArgumentError:
            if dataset.failure is not None:  # an image that could not be read when its turn came
                raise dataset.failure from None
            raise
        except (OSError, tf.errors.OpError) as error:
            if os.strerror(errno.ENOSPC) not in str(error):
                raise
            steps = run_files.checkpoints(config.workdir).steps()
            kept = f"the run is kept as of step {steps[-1]}" if steps else "there is no checkpoint yet"
            raise UserError(
                f"--workdir={config.workdir}: {os.strerror(errno.ENOSPC)}; {kept}: make room, and the same"
                " command takes the run up"
            ) from error


def _resolve(config: Config, given) -> Config:
    """The configuration to use: that of the run in the workdir, if any, with what may change changed."""
    from sagan_tf.runs import run_files

    if not os.path.isfile(os.path.join(config.workdir, run_files.CONFIG_FILE)):
        config.check_new_run()
        return config.with_decay_steps()
    old = run_files.read_config(config.workdir)
    if not config.decay_steps:  # as the run began, whatever its --train_steps are now
        given -= {"decay_steps"}
    changed = {name: getattr(config, name) for name in given | {"workdir"}}
    for name in ("precision", "fast_forms"):
        if getattr(config, name) == AUTO:
            changed.pop(name, None)  # what it became when the run began
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
        files.lock(file)
    except BlockingIOError:
        file.close()
        raise UserError(f"--workdir={workdir}: another process is training in it") from None
    return file


def _train(config: Config, workers, dataset, environment) -> int:
    from sagan_tf.data.preflight import preflight
    from sagan_tf.runs import objects, run_files
    from sagan_tf.training import loop

    check = preflight(dataset, config.workdir, loop.report) if workers.is_chief else None
    state = objects.make_state(config, dataset.num_classes, workers.strategy)
    saved = run_files.checkpoints(config.workdir, config.keep_checkpoints, config.keep_every_steps)
    first_step = _restore(saved, state.checkpoint(), workers)
    if first_step >= config.train_steps:
        _score_the_end(config, workers, state, dataset, first_step)
        print(
            f"{config.workdir}: the run is complete at step {first_step}; a larger --train_steps continues it"
        )
        return 0
    # Only the chief writes; the others follow its calls.
    watch, events, scores = (
        _events(config, state, saved, dataset, check, first_step) if workers.is_chief else (None, [], None)
    )
    if workers.is_chief:
        run_files.write_environment(config, first_step, environment)
    print(f"training {config.workdir} from step {first_step} on {workers}: {environment}", flush=True)
    if config.precision == "bfloat16" and not environment.native_bfloat16:
        _complain(
            "--precision=bfloat16: this device emulates it, which takes several times as long as float32"
            " (9 times was measured on a processor with AVX2 alone)"
        )
    with loop.Interrupt() as interrupt, _memory_watched(config, state, workers):
        if scores:
            scores.take_up(first_step)
        step = _run(config, workers, dataset, state, saved, first_step, watch, events, interrupt)
    if step is None:
        return _EXIT_DIVERGED
    if interrupt.signal is None:
        return 0
    print(f"{interrupt.signal.name}: saved step {step}; the same command takes the run up")
    return 128 + interrupt.signal


def _score_the_end(config: Config, workers, state, dataset, step: int) -> None:
    """Scores a complete run where that is still to be done; the chief does it, the others wait."""
    if not config.evaluate_every_steps:
        return
    from sagan_tf.evaluation import training_scores

    if workers.is_chief:
        training_scores.score_the_end(config, state, dataset, step)
    workers.agree(False, step)


def _run(config: Config, workers, dataset, state, saved, first_step, watch, events, interrupt) -> int | None:
    """Trains, and saves what a signal has interrupted. Returns the steps done.

    A run that is lost goes back, if that is wanted; otherwise None is returned.
    """
    from sagan_tf.monitoring.guards import Diverged
    from sagan_tf.runs import objects
    from sagan_tf.training import loop

    train = objects.make_step(config, state, workers.strategy)
    while True:
        restores = int(state.restores.numpy())
        try:
            step = loop.run(
                train,
                objects.make_iterator(config, dataset, workers.strategy, first_step, restores),
                first_step=first_step,
                last_step=config.train_steps,
                steps_per_call=config.steps_per_call,
                events=events,
                report=loop.report,
                interrupt=interrupt,
                agree=workers.agree,
                watch=watch and watch.losses,
            )
            if interrupt.signal is not None and watch and step not in saved.steps():
                watch.save(step)
            return step
        except Diverged as error:
            good = watch.record(error)
            first_step = watch.go_back(good) if config.on_divergence == "restore" else None
            if first_step is None:
                return None
            from sagan_tf.evaluation import training_scores

            training_scores.set_aside(config.workdir, first_step)


@contextlib.contextmanager
def _memory_watched(config: Config, state, workers):
    """Says what a step will take, and what to lower if the memory is not enough for it."""
    import tensorflow as tf

    from sagan_tf.monitoring import estimate

    replicas = workers.strategy.num_replicas_in_sync
    found = estimate.estimate(config, state.generator, state.discriminator, replicas)
    print(estimate.describe(found, config.batch_size), flush=True)
    for line in estimate.describe_residual_blocks(state.generator, state.discriminator):
        print(line, flush=True)
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if not estimate.is_out_of_memory(error):
            raise
        raise UserError(estimate.out_of_memory(config, found)) from None


def _restore(saved, checkpoint, workers) -> int:
    """Reads the newest sound checkpoint, the chief's choice for all workers. Returns its step, or 0."""
    from sagan_tf.training import loop
    from sagan_tf.training.checkpoint import DamagedCheckpointError

    step = saved.restore_newest(checkpoint, loop.report) or 0 if workers.is_chief else 0
    _, step = workers.agree(False, step)
    if step and not workers.is_chief:
        try:
            saved.restore(checkpoint, step)
        except DamagedCheckpointError as error:
            raise UserError(
                f"worker {workers.index} cannot read the checkpoint of step {step} ({error}): all need"
                " the same --workdir, on storage that all of them see"
            ) from error
    return step


def _events(config: Config, state, saved, dataset, check, first_step: int) -> tuple:
    """What looks at the run, what is done every so many steps, and what of that scores, if anything.

    Before a run's first step it also writes what introduces the run.
    """
    from sagan_tf.evaluation import training_scores
    from sagan_tf.monitoring import samples
    from sagan_tf.monitoring.guards import Guards, limits_of
    from sagan_tf.monitoring.summaries import Reporter, state_scalars
    from sagan_tf.monitoring.watch import Watch
    from sagan_tf.runs import objects, run_files
    from sagan_tf.training import loop

    run_files.write_description(config, dataset.class_names)
    reporter, scores = Reporter(config.workdir, first_step), None
    if reporter.has_diverged():  # what comes after the step need not be what came before
        training_scores.set_aside(config.workdir, first_step)
    if first_step == 0:
        hyperparameters = [f.name for f in dataclasses.fields(config) if not f.metadata["may_change"]]
        reporter.introduce(_as_dictionary(config), hyperparameters, check.grid, _score_names(config))
        samples.write_reals(dataset, state.generator.classes, reporter)
    sampler = samples.Sampler(state, reporter, config.seed, dataset)
    ignore = config.on_divergence == "ignore"
    guards = Guards(first_step, limits_of(objects.make_objective(config).loss))
    watch = Watch(state, saved, reporter, sampler, guards, loop.report, _complain, ignore)

    def summarize(step, scalars):
        speed = {"speed/images_per_second": config.batch_size * scalars["speed/steps_per_second"]}
        reporter.scalars(step, scalars | speed | state_scalars(state) | sampler.attention_shares())
        reporter.flush()

    events = [
        loop.Event(config.summary_every_steps, summarize),
        loop.Event(config.diagnostics_every_steps, watch.diagnose),
        loop.Event(config.sample_every_steps, watch.sample),
        loop.Event(config.checkpoint_every_steps, watch.save),
    ]
    if config.evaluate_every_steps:
        scores = training_scores.TrainingScores(config, state, dataset, reporter)
        # NaN is never scored, and so never kept as the best.
        events.append(loop.Event(config.evaluate_every_steps, lambda step, _: watch.weights(step)))
        events.append(loop.Event(config.evaluate_every_steps, scores))
    return watch, events, scores


def _complain(line: str) -> None:
    """Prints an error without breaking a progress bar."""
    tqdm.write(f"train: {line}", file=sys.stderr)


def _as_dictionary(config: Config) -> dict:
    """The options by name: numbers and truth values as they are, lists as text."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: options.format_value(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _score_names(config: Config) -> list[str]:
    """Under which names scores will be reported, as far as can be known before the network is loaded."""
    if not config.evaluate_every_steps:
        return []
    from sagan_tf.metrics.catalog import METRICS

    inception = config.inception == INCEPTION
    return [title for name in config.evaluate_metrics for title in METRICS[name].titles(inception).values()]


def console() -> None:
    """The command `sagan-train`."""
    cli.run(main, Config, __doc__, program="sagan_tf.train")


if __name__ == "__main__":
    console()
