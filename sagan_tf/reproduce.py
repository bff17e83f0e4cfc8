"""Runs the paper's experiments and reports them.

The same command again goes on where it was stopped. Each run is OUTPUT/ROW/seed_S, made from
flags/FOLDER/ROW.cfg. All rows are run with the first seed, then with the next. Lost runs go on to their end
(--on_divergence=ignore), so that all are scored at the same step; only NaN ends a run.

Examples:
  # What the small runs of figure 3 would cost
  python -m sagan_tf.reproduce --experiment=figure3 --output=runs/paper --dry_run

  # Figure 3 and table 1 with the digits, scored by a classifier
  python -m sagan_tf.reproduce --scale=digits --experiment=figure3,table1 --inception=classifiers/digits \\
      --output=runs/paper
"""

import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import tempfile

from sagan_tf.reproduction.experiments import EXPERIMENTS, SCALES, flagfiles
from sagan_tf.runs import places
from sagan_tf.runs.config import INCEPTION, TRAINING_METRICS, Config, check_inception
from sagan_tf.system import cli, runtime
from sagan_tf.system import options as flags
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import MAX_SEED, option
from sagan_tf.system.processor import processor, usable_cpus
from sagan_tf.system.run_directory import is_run

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_TRIAL_STEPS = 60


@dataclasses.dataclass(frozen=True)
class Options:
    """What to run, and how it is scored."""

    experiment: tuple[str, ...] = option(
        ("figure3",), "Experiments to run, or all.", choices=(*EXPERIMENTS, "all"), may_change=True
    )
    scale: str = option(
        "small",
        "Size of the runs: full (ImageNet, 128x128), small (CIFAR-10, 32x32) or digits.",
        choices=tuple(SCALES),
    )
    steps: int = option(
        0, "Generator steps of each run; 0 for the flagfile's number.", minimum=0, may_change=True
    )
    seeds: tuple[int, ...] = option(
        (0, 1), "Seeds; each row is run with each.", minimum=0, maximum=MAX_SEED, may_change=True
    )
    output: str = option(
        "", "Directory for the runs and the report.", may_change=True, is_path=True, required=True
    )
    dataset: str = option(
        "",
        "Dataset to use instead of the flagfiles' one; see sagan_tf.train.",
        is_path=True,
        placeholder="KIND:PATH",
    )
    overrides: str = option(
        "",
        "A flagfile of sagan_tf.train that is read after each row's flagfile, e.g. for this machine.",
        may_change=True,
        is_path=True,
    )
    inception: str = option(
        INCEPTION, "The network that sees the images; see sagan_tf.evaluate.", is_path=True
    )
    metrics: tuple[str, ...] = option(
        ("is", "fid", "intra_fid"),
        "Scores of finished runs.",
        choices=tuple(TRAINING_METRICS),
        may_change=True,
    )
    num_samples: int = option(
        0, "Images for the scores of finished runs; 0 for the scale's: 50000, 10000, 5000.", minimum=0
    )
    curve_metrics: tuple[str, ...] = option(
        ("is", "fid"), "Scores while training.", choices=tuple(TRAINING_METRICS), may_change=True
    )
    curve_samples: int = option(
        0, "Images for the scores while training; 0 for the scale's: 10000, 2000, 1000.", minimum=0
    )
    retry_failed: bool = option(False, "Run failed runs again.", may_change=True)
    dry_run: bool = option(False, "Print the plan with costs and hours, and stop.", may_change=True)

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        for name in ("output", "experiment", "seeds", "metrics", "curve_metrics"):
            if not getattr(self, name):
                raise UserError(f"--{name} is missing (--help lists the options)")
        for name in _names(self):
            if self.scale not in EXPERIMENTS[name].rows:
                there = ", ".join(name for name in EXPERIMENTS if self.scale in EXPERIMENTS[name].rows)
                raise UserError(f"--experiment={name}: not at --scale={self.scale}; allowed are {there}, all")
        if self.overrides and not os.path.isfile(self.overrides):
            raise UserError("no such file", option="overrides", value=self.overrides)


def _names(options: Options) -> tuple[str, ...]:
    """The experiments that the user asks for."""
    if "all" in options.experiment:
        return tuple(name for name in EXPERIMENTS if options.scale in EXPERIMENTS[name].rows)
    return tuple(dict.fromkeys(options.experiment))


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    if not options.dry_run:
        check_inception(options.inception)


def main(options: Options, given) -> int:
    """Runs, or prints the plan. Returns the exit code: 1 if a run has failed."""
    del given
    if not os.path.isdir(os.path.join(ROOT, "flags")):
        raise UserError(
            f"{ROOT} has no flags/: the experiments' flagfiles come with the source; run this there"
        )
    machine = _machine()
    from sagan_tf.reproduction import plan, report
    from sagan_tf.reproduction.sweep import Scoring, Sweep
    from sagan_tf.system.output_folder import OutputFolder

    scale = SCALES[options.scale]
    names = _reported(options)
    runs = _runs(options, flagfiles(names, options.scale))
    scoring = Scoring(options.metrics, options.num_samples or scale.samples, options.inception)
    sweep = Sweep(options.output, runs, scoring, machine)
    wanted = set(flagfiles(_names(options), options.scale))
    known = plan.costs(runs, scale.folder)
    if options.dry_run:
        rate = plan.measured_rate(sweep, known) or plan.try_rate(runs[0], known[runs[0].row], _try)
        print(plan.table(sweep, known, rate))
        return 0

    def write_report():
        samples = options.curve_samples or scale.curve_samples
        report.write(sweep, names, options.scale, samples, shlex.join(sys.orig_argv))

    for run in sweep.missing(options.retry_failed):
        if run.row in wanted:
            _check_places(run)
    OutputFolder(options.output, options, record="reproduce.cfg")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with sweep.locked():
        write_report()
        missing = [run for run in sweep.missing(options.retry_failed) if run.row in wanted]
        print(f"{len(missing)} runs to do, {len(runs) - len(missing)} done or failed", flush=True)
        _perform(sweep, missing, plan.Clock(missing, sweep, known), write_report)
    failed = [run.name for run in runs if sweep.failure(run)]
    print(f"{options.output}/report.md" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _check_places(run) -> None:
    """Refuses a run whose images are not there. Raises UserError."""
    try:
        places.check(run.config, is_new=not is_run(run.config.workdir))
    except UserError as error:
        raise UserError(f"{run.name} cannot be run: {error}") from error


def _perform(sweep, missing, clock, write_report) -> None:
    """Performs the runs one after the other and prints how far they are."""
    for number, run in enumerate(missing, 1):
        place = f"[{number}/{len(missing)}] {run.name}"
        print(f"{place}: {sweep.status(run)}", flush=True)

        def tell(scalars, run=run, place=place):
            left = clock.left(run, scalars["step"])
            line = f"{place}: {_at(scalars, run)}"
            print(line + (f"; sweep {left} to go" if left else ""), flush=True)

        worked = sweep.perform(run, tell)
        clock.finished(run)
        failure = sweep.failure(run)
        why = "" if worked or not failure else f": {failure['last_line']} ({sweep.folder}/{run.name}.log)"
        print(f"{place}: {sweep.status(run)}{why}", flush=True)
        write_report()


def _at(scalars: dict, run) -> str:
    """How far a run is, from the last line of its metrics."""
    from sagan_tf.runs import run_files

    losses = {"D": scalars.get("loss/discriminator"), "G": scalars.get("loss/generator")}
    parts = [f"step {scalars['step']:,}/{run.config.train_steps:,}"]
    parts += [f"{name} {value:.3f}" for name, value in losses.items() if value is not None]
    return "  ".join([*parts, f"{scalars[run_files.SPEED]:.3g} steps/s"])


def _reported(options: Options) -> list[str]:
    """The experiments for the report: those asked for, and those whose rows have all begun."""
    begun = [
        name
        for name, about in EXPERIMENTS.items()
        if options.scale in about.rows
        and all(_found_seeds(options.output, row) for _, row in about.rows[options.scale])
    ]
    return [name for name in EXPERIMENTS if name in (*_names(options), *begun)]


def _found_seeds(output: str, row: str) -> set[int]:
    folder = os.path.join(output, row)
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    seeds = {name.removeprefix("seed_") for name in names if is_run(os.path.join(folder, name))}
    return {int(seed) for seed in seeds if seed.isdigit()}


def _runs(options: Options, rows) -> list:
    """The runs of some flagfiles: those asked for and those that exist, by seed, then by row."""
    from sagan_tf.reproduction.sweep import PlannedRun

    wanted, runs = flagfiles(_names(options), options.scale), []
    found = {row: _found_seeds(options.output, row) for row in rows}
    seeds = list(dict.fromkeys([*options.seeds, *sorted(set().union(*found.values()))]))
    for seed in seeds:
        for row in rows:
            if seed in found[row] or (row in wanted and seed in options.seeds):
                arguments = _arguments(options, row, seed)
                runs.append(PlannedRun(row, _resolved(arguments), tuple(arguments)))
    return runs


def _resolved(arguments: list[str]) -> Config:
    """The configuration that `sagan_tf.train` will make of its arguments on this machine."""
    from sagan_tf.runs import objects
    from sagan_tf.system.devices import device_names

    config = flags.parse(Config, arguments)[0]
    return objects.resolve_speed(config, runtime.environment(device_names(config.devices)))


def _arguments(options: Options, row: str, seed: int) -> list[str]:
    """The arguments for `sagan_tf.train`."""
    from sagan_tf.reproduction.sweep import best_metric

    scale = SCALES[options.scale]
    arguments = [f"--flagfile={os.path.join(ROOT, 'flags', scale.folder, f'{row}.cfg')}"]
    arguments += [f"--flagfile={options.overrides}"] if options.overrides else []
    arguments += [f"--dataset={options.dataset}"] if options.dataset else []
    arguments += [f"--train_steps={options.steps}"] if options.steps else []
    arguments += [f"--workdir={os.path.join(options.output, row, f'seed_{seed}')}", f"--seed={seed}"]
    steps = flags.parse(Config, arguments)[0].train_steps
    return [
        *arguments,
        "--on_divergence=ignore",
        f"--evaluate_every_steps={max(steps // scale.curve_points, 1)}",
        f"--evaluate_metrics={','.join(options.curve_metrics)}",
        f"--evaluate_samples={options.curve_samples or scale.curve_samples}",
        f"--best_metric={best_metric(options.curve_metrics)}",
        f"--inception={options.inception}",
    ]


def _machine() -> str:
    """The description of this machine. Only the runs' processes use its GPUs."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    tf.config.set_visible_devices([], "GPU")
    return ", ".join([f"{usable_cpus()} cores of {processor().name}", *names])


def _try(run) -> float | None:
    """Steps per second of a run's first steps, on the digits, which load fast."""
    from sagan_tf.reproduction.sweep import environment
    from sagan_tf.runs import run_files

    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "-m", "sagan_tf.train", *run.arguments, f"--workdir={workdir}"]
        command += [
            "--dataset=digits",
            "--split=train",
            f"--train_steps={_TRIAL_STEPS}",
            "--evaluate_every_steps=0",
        ]
        command += [f"--summary_every_steps={_TRIAL_STEPS // 3}"]
        ended = subprocess.run(command, capture_output=True, env=environment())
        if ended.returncode:
            return None
        return run_files.read_last_metrics(workdir)[run_files.SPEED]


def console() -> None:
    """The command `sagan-reproduce`."""
    cli.run(main, Options, __doc__, program="sagan_tf.reproduce", check_places=check_places)


if __name__ == "__main__":
    console()
