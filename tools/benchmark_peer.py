"""The product's training step beside the peer's (tools/peer.py), which runs in processes of its own."""

import contextlib
import json
import os
import statistics
import subprocess
import sys

from sagan_tf.system.errors import UserError
from tools.ceilings import Figure, peak_memory, rate, seconds_in_turns

_PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
_FORMS = {"PyTorch as it comes": False, "PyTorch, channels_last": True}  # and whether it is tuned


def compare(call, networks: dict, batch_size: int, precision: str, repeats: int):
    """Yields the speed of `call`, a step of the product, and of the peer's two forms, in turns.

    Args:
      call: runs one step on `batch_size` images.
      networks: see `peer_networks`.
      batch_size, precision: of the peer's step.
      repeats: timed calls of each.
    """
    arguments = {"networks": networks, "batch_size": batch_size, "precision": precision}
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(_process(arguments | {"tuned": tuned})) for tuned in _FORMS.values()]
        ours, *others = seconds_in_turns((call, *peers), repeats)
        peaks = [peer()["peak_gib"] for peer in peers]
    note = f"{peak_memory() / 2**30:.1f} GiB"
    yield rate(f"training, {precision}", batch_size, ours, "images/s", note=note)
    for name, theirs, peak in zip(_FORMS, others, peaks, strict=True):
        yield rate(f"{name}, {precision}", batch_size, theirs, "images/s", note=f"{peak:.1f} GiB")
        ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
        yield Figure("  the product to it", statistics.median(ratios), ratios[0], ratios[-1], "times")


def peer_networks(image_size: int, channels: int, attention, classes: int) -> dict:
    """Arguments of `tools.peer.make_networks` that make the product's networks."""
    from sagan_tf.networks import ARCHITECTURES

    architecture = ARCHITECTURES[image_size]
    return {
        "image_size": image_size,
        "generator_widths": [channels * multiple for multiple in architecture.generator],
        "discriminator_widths": [channels * multiple for multiple in architecture.discriminator],
        "downsampling": architecture.downsampling,
        "attention": attention,
        "classes": classes,
    }


@contextlib.contextmanager
def _process(arguments: dict):
    """A function that runs one step of the peer in another process and returns its losses and peak memory."""
    command = [sys.executable, _PEER, json.dumps(arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call():
            process.stdin.write("\n")
            process.stdin.flush()
            if not (answer := process.stdout.readline()):
                raise UserError("--what=peer: PyTorch's process has ended, see above")
            return json.loads(answer)

        try:
            yield call
        finally:
            process.kill()
