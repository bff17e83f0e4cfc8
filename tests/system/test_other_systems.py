"""Every command on what stands in for macOS (no Linux-only calls, no /proc) and for Windows (no fcntl)."""

import json
import os
import subprocess
import sys

import numpy as np
from PIL import Image

from tests.conftest import ROOT
from tests.system import stand_ins
from tests.system.test_cli import ENTRY_POINTS
from tests.test_import_original import Sizes, random_arrays, release_shapes

TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if "cli.run(" in path.read_text())
COMMANDS = [f"sagan_tf.{name}" for name in ENTRY_POINTS] + [f"tools.{name}" for name in TOOLS]
NOT_RUN = {  # which measure for minutes, or need a server
    "tools.benchmark",
    "tools.benchmark_data",
    "tools.benchmark_digits",
    "tools.benchmark_export",
    "tools.check_scores",
    "tools.serving_client",
}


def run_all(folder, stand_in, commands):
    """How each of the commands ended, in one process: {module: (exit code, lines of standard error)}."""
    (folder / "sitecustomize.py").write_text(stand_in)
    (folder / "commands.json").write_text(json.dumps(commands))
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.run(
        [sys.executable, ROOT / "tests" / "system" / "every_command.py", folder / "commands.json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    print(process.stdout)  # seen where the test fails
    return {name: (code, errors) for name, code, errors, _ in json.loads(process.stdout.splitlines()[-1])}


def photographs(folder, count=6):
    """Images of three classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        name = folder / f"class_{number % 3}"
        name.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 36, 3), np.uint8)).save(name / f"{number}.png")


RUN = (
    "--image_size=32 --batch_size=2 --z_dim=4 --generator_channels=1 --discriminator_channels=1"
    " --generator_attention=8 --discriminator_attention= --train_steps=2 --checkpoint_every_steps=2"
    " --summary_every_steps=2 --sample_every_steps=2 --steps_per_call=2 --devices=cpu:1 --precision=float32"
).split()


def commands():
    """Each command with arguments that give it little to do; a later one uses what earlier ones wrote."""
    photos, network = "--dataset=folder:photos", "--inception=classifier"
    return [
        ["sagan_tf.prepare_data", [photos, "--image_size=32", "--output=records"]],
        ["sagan_tf.check_data", ["--dataset=records:records", "--image_size=32", "--full"]],
        ["sagan_tf.train", ["--dataset=records:records", "--in_memory=no", "--workdir=run", *RUN]],
        ["sagan_tf.train_classifier", ["--width=1", "--epochs=0.1", "--image_size=8", "--output=classifier"]],
        ["sagan_tf.make_reference", [photos, "--image_size=32", network, "--output=reference.h5"]],
        [
            "sagan_tf.evaluate",
            ["--workdir=run", "--reference=reference.h5", network, "--num_samples=8", "--splits=1"],
        ],
        ["sagan_tf.sample", ["--workdir=run", "--columns=2"]],
        ["sagan_tf.attention", ["--workdir=run", "--num_samples=1", "--real_images=0"]],
        ["sagan_tf.export", ["--workdir=run", "--export_dir=model", "--warmup_batch_sizes="]],
        ["sagan_tf.compare", ["run"]],
        [
            "sagan_tf.import_original",
            ["--checkpoint=release.npz", "--workdir=imported", "--dataset=folder:photos"],
        ],
        ["sagan_tf.import_weights", ["--checkpoint=release.npz", "--workdir=w", photos, "--dry_run"]],
        ["sagan_tf.reproduce", ["--scale=digits", "--output=sweep", "--dry_run"]],
        [
            "tools.benchmark_metrics",
            "--tasks=fid --num_samples=64 --dimension=2 --classes=2 --real_per_class=4".split(),
        ],
    ]


def test_every_command_without_what_linux_alone_has(tmp_path):
    photographs(tmp_path / "photos")
    np.savez(tmp_path / "release.npz", **random_arrays(release_shapes(sizes=Sizes(g=4, d=4))))
    todo = commands()
    assert {name for name, _ in todo} == set(COMMANDS) - NOT_RUN
    ends = run_all(tmp_path, stand_ins.MACOS, todo)
    failed = {name: errors for name, (code, errors) in ends.items() if code != 0}
    assert not failed, json.dumps(failed, indent=1)


def test_on_windows_every_command_ends_with_one_line(tmp_path):
    ends = run_all(tmp_path, stand_ins.WINDOWS, [[name, ["--no_such_flag=1"]] for name in COMMANDS])
    for name, (code, errors) in ends.items():
        program = name.rpartition(".")[2]
        assert code == 2 and len(errors) == 1 and errors[0].startswith(f"{program}: error: "), (name, errors)
        assert "WSL2" in errors[0]
