"""The command `import_weights`: weights of other projects give these projects' own images and logits."""

import contextlib
import io

import numpy as np
import pytest

from sagan_tf import import_weights
from sagan_tf.importing import matching, peer_run, weights
from sagan_tf.runs import objects
from sagan_tf.system import cli
from sagan_tf.system.options import parse
from tests.conftest import ROOT

PEERS = ROOT / "tests" / "golden" / "peers"
PUBLISHED = (
    "biggan_sagan biggan_shared mmgen_sagan_recipe mmgen_sagan_inplace mmgen32_sagan studio_sagan".split()
)
BAR = 1e-5  # relative to the largest value; 1e-4 would not see batch norm's epsilon


def run(*arguments):
    """Runs the command in this process: exit code, standard output, standard error."""
    out, error = io.StringIO(), io.StringIO()
    with (
        pytest.raises(SystemExit) as stop,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        cli.run(
            import_weights.main,
            import_weights.Options,
            import_weights.__doc__,
            program="sagan_tf.import_weights",
            argv=list(map(str, arguments)),
        )
    return stop.value.code, out.getvalue(), error.getvalue()


def imported(workdir, *arguments):
    code, out, error = run(f"--workdir={workdir}", *arguments)
    assert code == 0, out + error
    return out


def refusal(tmp_path, *arguments):
    """What the command says when it refuses, after what it listed; it has written nothing."""
    workdir = tmp_path / "refused"
    code, out, error = run(f"--workdir={workdir}", *arguments)
    lines = [line for line in error.splitlines() if line.startswith("import_weights: error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in error, out + error
    assert not list(tmp_path.glob("refused*"))
    return lines[0].removeprefix("import_weights: error: "), out.splitlines()


def golden(path):
    with np.load(path) as arrays:
        return dict(arrays)


def error_of(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


def networks(*arguments):
    """The networks that files become, without a run: generator, discriminator or None."""
    options, given = parse(import_weights.Options, [*map(str, arguments), "--dry_run"])
    paths = weights.Paths(options.checkpoint, discriminator=options.discriminator)
    planned = peer_run.plan(options, given, weights.gather(paths))
    made = [objects.make_generator(planned.config, planned.classes), None]
    if planned.has_discriminator:
        made[1] = objects.make_discriminator(planned.config, planned.classes)
    for role, network in zip(("generator", "discriminator"), made, strict=True):
        if network is not None:
            match = matching.Matching(planned.networks[role], network, planned.decisions)
            assert not any(match.differences())
            match.assign()
            assert not match.notes  # every wanted spectral norm could be had
    return made


def assert_same(generator, discriminator, arrays, images="images"):
    """They give the images and logits of the golden."""
    y = arrays["y"].astype(np.int32)
    found = generator(arrays["z"], y).numpy().transpose(0, 3, 1, 2)
    step = found.shape[2] // arrays[images].shape[2]
    assert error_of(found[..., ::step, ::step], arrays[images]) < BAR
    if "logits" in arrays:
        assert error_of(discriminator(arrays["x"].transpose(0, 2, 3, 1), y), arrays["logits"]) < BAR


@pytest.mark.parametrize("form", sorted(path.stem for path in PEERS.glob("*[!GD].npz")))
def test_small_networks_of_every_form(form):
    """Networks of our own making in plain PyTorch, see golden/peers/README.md; these lie in the repository."""
    files = [f"--checkpoint={next(PEERS.glob(f'{form}_G.*'))}"]
    if (PEERS / f"{form}_D.pth").exists():
        files.append(f"--discriminator={PEERS / form}_D.pth")
    assert_same(*networks(*files), golden(PEERS / f"{form}.npz"))


@pytest.mark.parametrize("form", PUBLISHED)
def test_networks_of_the_projects_own_code(shared, form):
    """The same with networks that these projects' own code made and ran."""
    folder = shared / "golden" / "peers"
    files = [f"--checkpoint={folder / form}_G.pth", f"--discriminator={folder / form}_D.pth"]
    assert_same(*networks(*files), golden(folder / f"{form}.npz"))


@pytest.mark.parametrize("truncation, images", [(1.0, "images"), (0.5, "half")])
def test_deepmind_s_by_truncation(shared, truncation, images):
    folder = shared / "golden" / "peers"
    made = networks(f"--checkpoint={folder / 'ivc128.pth'}", f"--truncation={truncation}")
    assert_same(*made, golden(folder / "ivc128.npz"), images)
