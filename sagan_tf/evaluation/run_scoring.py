"""Scores the checkpoints of a run: one, all, or each as it appears. Every result is written at once."""

import os
import sys
import time
import typing

import tensorflow as tf

from sagan_tf.evaluation import results
from sagan_tf.evaluation.compiled import callable_of, on_devices
from sagan_tf.evaluation.pipeline import score_and_keep
from sagan_tf.evaluation.scoring import Scorer
from sagan_tf.monitoring import summaries
from sagan_tf.runs import choice, restoring, run_end, run_files
from sagan_tf.system.errors import UserError
from sagan_tf.system.run_directory import RunFiles, is_run


def wait_for(workdir: str, every_seconds: float) -> None:
    """Waits until there is a run in a directory; looks every so many seconds."""
    if not is_run(workdir):
        print(f"waiting for a run in {workdir}; Ctrl-C ends it", flush=True)
    while not is_run(workdir):
        time.sleep(every_seconds)


class RunScorer:
    """Scores checkpoints of one run.

    Args:
      workdir: the run's directory.
      scorer: what measures.
      draw: makes samples (see `Scorer.score`) from a `SampledGenerator`.
      protocol: what stands beside every score; step and weights are filled in here.
      ema: whether the averaged weights are scored.
      batch_statistics: see `restoring.restore`.
      output: file of JSON lines; results are added to it, and what it holds is not measured again.
      devices: names of those that get a copy of the generator.
    """

    def __init__(
        self,
        workdir: str,
        scorer: Scorer,
        draw: typing.Callable,
        protocol: results.Protocol,
        *,
        ema: bool,
        batch_statistics: str,
        output: str,
        devices: typing.Sequence[str],
    ):
        self._workdir, self._scorer, self._draw = workdir, scorer, draw
        self._ema, self._batch_statistics, self._output = ema, batch_statistics, output
        self._is_own_file = os.path.realpath(output) == os.path.realpath(RunFiles(workdir).scores)
        self._shared = protocol.replace(
            weights="EMA weights" if ema else "raw weights",
            batch_statistics=batch_statistics,
            precision="float32",  # as `restoring.restore` gives them
        )
        self._devices, self._copies, self._generator = devices, [], None
        self._failed, self._num_scored = set(), 0

    def score(self, checkpoint: str, metrics: typing.Sequence[str] | None = None) -> None:
        """Scores a checkpoint (latest, best, or a step) by `metrics`, or by all of the scorer's.

        Raises:
          UserError: there is no such checkpoint, or a metric cannot be computed.
        """
        run = restoring.restore(self._workdir, checkpoint, self._ema, self._batch_statistics)
        protocol = self._protocol(run.step)
        if not self._copies:
            self._copies = on_devices(run.generator, self._devices)
            self._generator = callable_of(*self._copies)
        for copy in self._copies:
            copy.set_weights(run.generator.get_weights())  # nothing is traced again
        scorer = self._scorer if metrics is None else self._scorer.only(metrics)
        classes_file = os.path.join(
            os.path.dirname(os.path.abspath(self._output)), f"intra_fid_{run.step:08d}"
        )
        scores = score_and_keep(scorer, self._draw(self._generator), protocol, self._output, classes_file)
        self._show(run.step, {protocol.title(score): score.value for score in scores}, protocol)

    def _show(self, step: int, values: dict[str, float], protocol: results.Protocol) -> None:
        """Adds the values to the run's TensorBoard, if its directory can be written."""
        try:
            summaries.write_scores(self._workdir, step, values, results.describe(protocol))
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).partition("\n")[0]
            print(f"not in TensorBoard: {self._workdir} cannot be written ({reason})", file=sys.stderr)

    def _protocol(self, step: int) -> results.Protocol:
        digest = run_files.checkpoint_digest(self._workdir, step)
        return self._shared.replace(step=step, source_digest=digest)

    def _missing(self, step: int) -> list[str]:
        """The metrics that this checkpoint has no score of yet."""
        lines = results.read(self._output)
        if not self._is_own_file:  # in another file, a line without a digest may be of another run
            lines = [line for line in lines if line.get("source_digest")]
        return results.missing(lines, self._scorer.metrics, self._protocol(step))

    def score_new(self) -> int:
        """Scores every checkpoint that has not been scored by this protocol yet, oldest first.

        Returns:
          The exit code: 1 if some checkpoint had to be left out, which is reported.
        """
        for step in choice.all_steps(self._workdir):
            missing = self._missing(step) if step not in self._failed else []
            if not missing:
                continue
            try:
                self.score(str(step), missing)
                self._num_scored += 1
            except UserError as error:  # damaged, or deleted in the meantime by the process that trains
                self._failed.add(step)
                print(f"evaluate: step {step} is left out: {error}", file=sys.stderr, flush=True)
        return 1 if self._failed else 0

    def score_all(self) -> int:
        """As `score_new`, and says so if all of them have been scored already."""
        code = self.score_new()
        if not self._num_scored and not self._failed:
            count = len(choice.all_steps(self._workdir))
            print(f"{count} checkpoint{'' if count == 1 else 's'} scored already, in {self._output}")
        return code

    def watch(self, every_seconds: float) -> int:
        """Scores checkpoints as they appear, until the run ends for good; returns as `score_new`."""
        print(f"watching {self._workdir} for new checkpoints; Ctrl-C ends it", flush=True)
        while True:
            # Looked up first: a checkpoint that comes during the pass is for the next one.
            end = run_end.find(self._workdir)
            code = self.score_new()
            if end:
                print(f"{self._workdir}: {end}", flush=True)
                return code
            time.sleep(every_seconds)
