"""Trains and scores the runs of an experiment, one after the other, and nothing twice."""

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import time
import typing

from sagan_tf.evaluation import results
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.runs import run_files
from sagan_tf.runs.config import TRAINING_METRICS, Config
from sagan_tf.system import files, json_lines
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import RunFiles

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Exit codes of a process that a signal stopped: 128 + signal if it could save first.
_STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


class PlannedRun(typing.NamedTuple):
    """One run: a row of an experiment with one seed.

    Attributes:
      row: name of its flagfile.
      config: its resolved configuration.
      arguments: arguments of `sagan_tf.train` that give this configuration.
    """

    row: str
    config: Config
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.row}/seed_{self.config.seed}"


class Scoring(typing.NamedTuple):
    """How finished runs are scored; see `sagan_tf.evaluate`."""

    metrics: tuple[str, ...]
    samples: int
    inception: str


class Sweep:
    """The runs in a directory, and what is known about them.

    Args:
      folder: the directory, with one directory for each run.
      runs: the runs, in the order in which to perform them.
      scoring: how to score finished runs.
      machine: description of the machine, for the record.
    """

    def __init__(self, folder: str, runs: typing.Sequence[PlannedRun], scoring: Scoring, machine: str):
        self.folder, self.runs, self.scoring, self._machine = folder, runs, scoring, machine
        self._record, self._lock = os.path.join(folder, "runs.jsonl"), None

    def step(self, run: PlannedRun) -> int:
        """The step of its newest checkpoint; 0 if there is none."""
        return max(run_files.checkpoints(run.config.workdir).steps(), default=0)

    def scores(self, run: PlannedRun) -> list[dict]:
        """The lines of the run's scores that were measured as all runs' are."""
        lines = results.read(RunFiles(run.config.workdir).scores)
        return [line for line in lines if results.OF_RUN.items() <= line.items()]

    def is_trained(self, run: PlannedRun) -> bool:
        return self.step(run) >= run.config.train_steps

    def is_done(self, run: PlannedRun) -> bool:
        """Whether it is trained, and its end is scored."""
        step = self.step(run)
        found = {
            line["metric"]
            for line in self.scores(run)
            if line["step"] == step and line["samples"] == self.scoring.samples
        }
        titles = [
            {title for name in self.scoring.metrics for title in METRICS[name].titles(inception).values()}
            for inception in (True, False)
        ]
        return step >= run.config.train_steps and any(wanted <= found for wanted in titles)

    def records(self, run: PlannedRun | None = None) -> list[dict]:
        """The records of the processes of one run, or of all runs; see `_call`."""
        return [line for line in json_lines.read(self._record) if run is None or line["run"] == run.name]

    def failure(self, run: PlannedRun) -> dict | None:
        """The record of its failure, if it ended with one."""
        if self.is_done(run):
            return None
        last = (self.records(run) or [None])[-1]
        return last if last and last["exit"] not in (0, *_STOPPED) else None

    def status(self, run: PlannedRun) -> str:
        """How far the run is, in a word or two."""
        if self.is_done(run):
            return "done"
        step = self.step(run)
        if self.failure(run):
            return f"failed after step {step:,}"
        return f"at step {step:,}" if step else "not begun"

    def missing(self, retry_failed: bool) -> list[PlannedRun]:
        """The runs that are not done yet. Failed runs count only with `retry_failed`."""
        return [run for run in self.runs if not self.is_done(run) and (retry_failed or not self.failure(run))]

    def guarded(self, run: PlannedRun) -> list[dict]:
        """The guards' lines that were ignored: the first one of each kind."""
        found = {}
        for line in json_lines.read(RunFiles(run.config.workdir).divergence):
            if line.get("ignored"):
                found.setdefault(line["kind"], line)
        return list(found.values())

    def perform(self, run: PlannedRun, report: typing.Callable[[dict], None]) -> bool:
        """Trains and scores a run, as far as this is not done. Returns whether it worked.

        Args:
          run: one of `runs`.
          report: called with every new last line of `metrics.jsonl`: scalars by tag, and `step`.

        Raises:
          KeyboardInterrupt: Ctrl-C or a signal stopped the run, which saved first if it could.
        """
        self._share_references(run.config.workdir)
        workdir = f"--workdir={run.config.workdir}"
        if not self.is_trained(run) and self._call(run, "train", run.arguments, report):
            return False
        scoring = self.scoring
        arguments = [f"--metrics={','.join(scoring.metrics)}", f"--num_samples={scoring.samples}"]
        failed = self._call(
            run, "evaluate", [workdir, *arguments, f"--inception={scoring.inception}"], report
        )
        self._share_references(run.config.workdir)
        return not failed

    def _call(self, run: PlannedRun, command: str, arguments, report) -> int:
        """Runs a command in a process of its own. Logs its output and records how it ended."""
        log = os.path.join(self.folder, f"{run.name}.log")
        os.makedirs(os.path.dirname(log), exist_ok=True)
        begin, last, interrupted = time.monotonic(), "", False
        known = run_files.read_last_metrics(run.config.workdir)
        with open(log, "a", encoding="utf-8") as file, self._process(command, arguments) as process:

            def follow():
                nonlocal last, known
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    last = line.strip() or last
                    scalars = run_files.read_last_metrics(run.config.workdir)
                    if scalars and scalars != known:
                        known = scalars
                        report(scalars)

            file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {command} {' '.join(arguments)}\n")
            try:
                follow()
            except KeyboardInterrupt:
                interrupted = True
                process.terminate()
                follow()  # the process saves first
        line = {"run": run.name, "command": command, "exit": process.returncode, "last_line": last}
        line |= {"step": self.step(run), "seconds": round(time.monotonic() - begin, 1)}
        line |= {"machine": self._machine, "time": round(time.time())}
        json_lines.append(self._record, line, flush=True)
        if interrupted or process.returncode in _STOPPED:
            raise KeyboardInterrupt
        return process.returncode

    def _process(self, command: str, arguments) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", f"sagan_tf.{command}", *arguments],
            stdin=subprocess.DEVNULL,
            # A pipe, so that the other process ends at its next line if this one is killed.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment(),
            start_new_session=True,  # only this process gets Ctrl-C; it passes it on
            pass_fds=(self._lock.fileno(),) if self._lock else (),
        )

    @contextlib.contextmanager
    def locked(self):
        """Keeps other sweeps out of the directory.

        The runs' processes hold the lock too: one may outlive a killed sweep by some seconds.

        Raises:
          UserError: another sweep is at work in it.
        """
        with open(os.path.join(self.folder, "lock"), "a+", encoding="utf-8") as file:
            try:
                files.lock(file)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip()
                if holder.isdigit() and _is_alive(int(holder)):
                    raise UserError(
                        f"another sweep (process {holder}) is at work in it",
                        option="output",
                        value=self.folder,
                    ) from None
                print("waiting for the last process of a sweep that was killed", flush=True)
                files.lock(file, wait=True)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self._lock = file
            yield
            self._lock = None

    def _share_references(self, workdir: str) -> None:
        """Lets runs share their statistics of real images. The files' names tell how they were made."""
        shared, own = os.path.join(self.folder, "references"), RunFiles(workdir).scores_folder
        for source, target in ((own, shared), (shared, own)):
            for name in os.listdir(source) if os.path.isdir(source) else ():
                if name.startswith("reference-") and name.endswith(".h5"):
                    with contextlib.suppress(OSError):  # it exists, or each run has to make its own
                        os.makedirs(target, exist_ok=True)
                        os.link(os.path.join(source, name), os.path.join(target, name))


def environment() -> dict[str, str]:
    """Environment variables for a process that imports this package from any directory."""
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def best_metric(metrics: typing.Sequence[str]) -> str:
    """The metric for the best checkpoint: FID if it is among these, otherwise the first."""
    return "fid" if "fid" in metrics else TRAINING_METRICS[metrics[0]][0]
