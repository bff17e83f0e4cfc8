"""The smallest run there is, by the command `train` in this process: for every test that needs one."""

import contextlib
import io
import json

import pytest
import tensorflow as tf

from sagan_tf import train
from sagan_tf.runs.config import Config
from sagan_tf.system import cli

TINY = (
    "--image_size=32 --batch_size=4 --z_dim=8 --generator_channels=1 --discriminator_channels=1"
    " --generator_attention=16 --discriminator_attention=16 --summary_every_steps=2 --sample_every_steps=4"
    " --checkpoint_every_steps=2 --steps_per_call=2 --devices=cpu:1 --precision=float32"
).split()
# Where attention is not the point.
PLAIN = [*TINY, "--generator_attention=", "--discriminator_attention="]


def run(*flags):
    """Runs the command to its end: exit code, standard output, standard error."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(out):
        with contextlib.redirect_stderr(error):
            cli.run(train.main, Config, train.__doc__, program="sagan_tf.train", argv=flags)
    return stop.value.code, out.getvalue(), error.getvalue()


def saved_steps(workdir):
    """The steps whose checkpoints are complete."""
    folder = workdir / "checkpoints"
    return (
        sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []
    )


def tensors(workdir, step):
    """What a checkpoint holds, less the description of its objects, in which Keras numbers them."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"{step:08d}" / "state"))
    names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    assert len(names) > 200
    return {name: reader.get_tensor(name) for name in names}


def reports(workdir):
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
