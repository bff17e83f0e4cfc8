"""Names of the files in a run's directory: the only place that has them."""

import os

CONFIG_FILE = "config.cfg"


def steps_in(folder: str) -> list[int]:
    """Steps of the complete checkpoints in a folder, lowest first; none if there is no folder."""
    if not os.path.isdir(folder):
        return []
    return sorted(int(name) for name in os.listdir(folder) if name.isdigit())


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
