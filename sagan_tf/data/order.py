"""Which example stands where in the endless stream that training takes: a function of seed and position."""

import functools

import numpy as np

_PERMUTATION, _FLIP = 0, 1  # kinds of random draws: each has a stream of its own


class ShuffledOrder:
    """Every epoch is a new permutation of all examples.

    Position p of the stream is place p mod n of epoch p div n. An epoch's permutation is drawn from
    (seed, epoch) alone, so any position can be had at once; it takes 8 bytes an example.
    """

    def __init__(self, num_examples: int, seed: int):
        self._num_examples = num_examples
        self._seed = seed
        # Batches that straddle epochs need two; parallel readers may be in neighbouring batches.
        self._permutation = functools.lru_cache(maxsize=3)(self._draw_permutation)
        self._flips = functools.lru_cache(maxsize=3)(self._draw_flips)

    def _draw_permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([_PERMUTATION, self._seed, epoch]).permutation(self._num_examples)

    def _draw_flips(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([_FLIP, self._seed, epoch]).random(self._num_examples) < 0.5

    def indices(self, start: int, stop: int) -> np.ndarray:
        """The examples at positions `start` to `stop` (exclusive), int64."""
        return self._gather(self._permutation, start, stop)

    def flips(self, start: int, stop: int) -> np.ndarray:
        """Whether the image at each position is to be mirrored (probability 1/2), bool."""
        return self._gather(self._flips, start, stop)

    def _gather(self, drawn, start, stop):
        epochs, places = np.divmod(np.arange(start, stop), self._num_examples)
        return np.concatenate([drawn(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])
