"""Whether a run has ended for good, as another process sees it."""

from sagan_tf.runs import run_files
from sagan_tf.system import files, json_lines
from sagan_tf.system.run_directory import RunFiles


def find(workdir: str) -> str:
    """Says how a run has ended for good, in words; "" as long as it may go on.

    A run has ended if it is complete, or if it diverged and no process trains it any more. A run that was
    stopped or killed may be taken up again.
    """
    paths = RunFiles(workdir)
    steps, last_step = run_files.checkpoints(workdir).steps(), run_files.read_config(workdir).train_steps
    if steps and steps[-1] >= last_step:
        return f"the run is complete at step {steps[-1]:,}"
    lost = [line for line in json_lines.read(paths.divergence) if not line.get("ignored")]
    if not lost or files.is_locked(paths.lock):
        return ""
    reported = json_lines.read_end(paths.metrics)
    if reported and reported[-1]["time"] > lost[-1]["time"]:  # it went back, and on
        return ""
    return f"the run diverged at step {lost[-1]['step']:,} ({lost[-1]['reason']})"
