"""The order of the endless stream of training examples: a function of seed and position."""

import functools

import numpy as np

# Each kind of random draw has its own stream.
_EXAMPLES, _FLIPS, _CROPS, _CLASSES, _WITHIN_CLASS = range(5)
_NEIGHBOURING_EPOCHS = 3  # a batch may straddle epochs, and parallel readers may be in different ones


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


class ShuffledOrder:
    """Every epoch is a new permutation of all examples.

    Position p of the stream is place p mod n of epoch p div n. An epoch's permutation is drawn from
    (seed, epoch) alone, so any position can be had at once; it takes 8 bytes an example.
    """

    def __init__(self, num_examples: int, seed: int):
        self._num_examples = num_examples
        self._seed = seed
        cached = functools.lru_cache(_NEIGHBOURING_EPOCHS)
        self._permutation = cached(lambda epoch: _generator(_EXAMPLES, seed, epoch).permutation(num_examples))
        self._flips = cached(lambda epoch: _generator(_FLIPS, seed, epoch).random(num_examples) < 0.5)
        self._crops = cached(
            lambda epoch: _generator(_CROPS, seed, epoch).random((num_examples, 2), np.float32)
        )

    def indices(self, start: int, stop: int) -> np.ndarray:
        """The examples at positions `start` to `stop` (exclusive), int64."""
        return self._gather(self._permutation, start, stop)

    def flips(self, start: int, stop: int) -> np.ndarray:
        """Whether the image at each position is to be mirrored (probability 1/2), bool."""
        return self._gather(self._flips, start, stop)

    def crops(self, start: int, stop: int) -> np.ndarray:
        """Where the image at each position is to be cut, uniform in [0, 1): float32 (positions, 2)."""
        return self._gather(self._crops, start, stop)

    def _gather(self, drawn, start, stop):
        epochs, places = np.divmod(np.arange(start, stop), self._num_examples)
        return np.concatenate([drawn(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])


class BalancedOrder(ShuffledOrder):
    """Every class equally often, however many examples it has.

    The stream is a sequence of rounds; a round has one example of each class that has any, the
    classes in fresh random order. The r-th example of a class follows a shuffled order of its own.
    """

    def __init__(self, labels: np.ndarray, seed: int):
        """Args: labels: integer (n,)."""
        super().__init__(len(labels), seed)
        self._classes = np.unique(labels)
        self._members = [np.flatnonzero(labels == label) for label in self._classes]
        self._permutation_within = functools.lru_cache(2 * len(self._classes))(self._draw_within)

    def _draw_within(self, place: int, epoch: int) -> np.ndarray:
        return _generator(_WITHIN_CLASS, self._seed, place, epoch).permutation(self._members[place])

    def indices(self, start: int, stop: int) -> np.ndarray:
        """The examples at positions `start` to `stop` (exclusive), int64."""
        found = np.empty(stop - start, np.int64)
        rounds, places = np.divmod(np.arange(start, stop), len(self._classes))
        for number in np.unique(rounds):
            classes = _generator(_CLASSES, self._seed, int(number)).permutation(len(self._classes))
            for row in np.flatnonzero(rounds == number):
                place = int(classes[places[row]])
                epoch, rank = divmod(int(number), len(self._members[place]))
                found[row] = self._permutation_within(place, epoch)[rank]
        return found
