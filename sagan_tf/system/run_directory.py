"""Names of the files in a run's directory: the only place that has them."""

import os

from sagan_tf.system import suggestions
from sagan_tf.system.errors import UserError

CONFIG_FILE = "config.cfg"
_LOOKED_AT = 1000  # entries of a folder among which runs are looked for


def steps_in(folder: str) -> list[int]:
    """Steps of the complete checkpoints in a folder, lowest first; none if there is no folder."""
    if not os.path.isdir(folder):
        return []
    return sorted(int(name) for name in os.listdir(folder) if name.isdigit())


def is_run(workdir: str) -> bool:
    """Whether a directory holds a run."""
    return os.path.isfile(os.path.join(workdir, CONFIG_FILE))


def check_is_run(workdir: str, option: str = "workdir") -> None:
    """Raises UserError, which names the nearest run, if a directory holds none."""
    if not is_run(workdir):
        problem = f"holds no run ({CONFIG_FILE} is missing){_where_runs_are(workdir)}"
        raise UserError(problem, option=option, value=workdir)


def check_not_of_a_run(option: str, path: str) -> None:
    """Raises UserError if a directory holds a run, or lies in a folder that a run writes to."""
    folder, below = os.path.realpath(path), None
    while True:
        if is_run(folder) and (below is None or below in vars(RunFiles(folder)).values()):
            problem = f"belongs to the run in {os.path.relpath(folder)}; name a directory of its own"
            raise UserError(problem, option=option, value=path)
        if folder == os.path.dirname(folder):
            return
        folder, below = os.path.dirname(folder), folder


def _where_runs_are(workdir: str) -> str:
    """The end of a message: the run that was probably meant, or the runs below the directory."""
    if is_run(os.path.dirname(os.path.abspath(workdir))):
        return suggestions.did_you_mean(os.path.dirname(workdir) or "..")
    if not os.path.isdir(workdir):
        return suggestions.did_you_mean(suggestions.nearest_path(workdir, is_run))
    below = [os.path.join(workdir, name) for name in sorted(os.listdir(workdir))[:_LOOKED_AT]]
    runs = list(filter(is_run, below))
    return f"; below it are {', '.join(runs[:3])}{', ...' if len(runs) > 3 else ''}" if runs else ""


class RunFiles:
    """Paths of the files and directories of a run.

    Attributes:
      config: the resolved configuration, a flagfile; a directory without it holds no run.
      classes: names of the classes, one a line.
      data: JSON: digests, numbers and place of the images that the run learns from.
      imported: JSON: where the weights of an imported run come from, and what was decided about them.
      environment: JSON lines: what the run computed with, from which step on.
      lock: held by the process that trains.
      checkpoints: directory of the checkpoints that are taken up.
      best: directory of the checkpoints that are kept for their scores.
      metrics: JSON lines: scalars by step.
      divergence: JSON lines: what the guards saw, which ended the run or was ignored.
      samples: directory of PNGs.
      tensorboard: directory of event files.
      scores_folder, scores: directory for scoring, and the scores in it as JSON lines.
      pictures, attention: directories that `sagan_tf.sample` and `sagan_tf.attention` write to.
    """

    def __init__(self, workdir: str):
        def within(*names):
            return os.path.join(workdir, *names)

        self.workdir = workdir
        self.config, self.classes = within(CONFIG_FILE), within("classes.txt")
        self.data = within("data.json")
        self.imported = within("import.json")
        self.environment, self.lock = within("environment.jsonl"), within("lock")
        self.checkpoints, self.best = within("checkpoints"), within("best")
        self.metrics, self.divergence = within("metrics.jsonl"), within("divergence.jsonl")
        self.samples, self.tensorboard = within("samples"), within("tensorboard")
        self.scores_folder, self.scores = within("scores"), within("scores", "scores.jsonl")
        self.pictures, self.attention = within("pictures"), within("attention")
