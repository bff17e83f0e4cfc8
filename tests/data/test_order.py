"""The order of training examples is a function of seed and position."""

import numpy as np
import pytest

from sagan_tf.data.order import BalancedOrder, ShuffledOrder


@pytest.mark.parametrize("count", [1, 7, 100])
def test_every_epoch_is_a_permutation_and_a_new_one(count):
    order = ShuffledOrder(count, seed=3)
    epochs = order.indices(0, 5 * count).reshape(5, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    if count == 100:
        assert len({tuple(epoch) for epoch in epochs}) == 5


def test_any_range_equals_that_part_of_the_stream():
    whole = ShuffledOrder(10, seed=1).indices(0, 100)
    flips = ShuffledOrder(10, seed=1).flips(0, 100)
    for start, stop in [(0, 3), (8, 12), (17, 60), (99, 100), (40, 40 + 25)]:
        again = ShuffledOrder(10, seed=1)
        np.testing.assert_array_equal(again.indices(start, stop), whole[start:stop])
        np.testing.assert_array_equal(again.flips(start, stop), flips[start:stop])


@pytest.mark.parametrize("kind", ["indices", "flips", "crops"])
def test_every_seed_and_every_epoch_has_its_own_draws(kind):
    epochs = [getattr(ShuffledOrder(100, seed), kind)(0, 200).reshape(2, -1) for seed in (0, 1)]
    assert len({epoch.tobytes() for epoch in np.concatenate(epochs)}) == 4


def test_places_are_uniform():
    # Chi-squared of "example at place 0" over 5,000 epochs of 10: 9 degrees of freedom, 27.9 at p = 0.001.
    order = ShuffledOrder(10, seed=0)
    counts = np.bincount(
        [order.indices(10 * epoch, 10 * epoch + 1)[0] for epoch in range(5000)], minlength=10
    )
    assert np.sum((counts - 500) ** 2 / 500) < 27.9


def test_half_is_flipped():
    assert abs(ShuffledOrder(20_000, seed=0).flips(0, 20_000).mean() - 0.5) < 0.02


def test_order_is_pinned():
    # A resumed run relies on it: a change of NumPy that moves these moves the data of running experiments.
    np.testing.assert_array_equal(ShuffledOrder(8, seed=0).indices(0, 8), PINNED)


PINNED = [2, 4, 3, 6, 5, 0, 1, 7]


_LABELS = np.array([0] * 50 + [1] * 7 + [3] * 2)  # class 2 has no examples


def test_balanced_classes_are_equally_frequent():
    found = BalancedOrder(_LABELS, seed=0).indices(0, 300)
    rounds = _LABELS[found].reshape(100, 3)
    assert (np.sort(rounds, 1) == [0, 1, 3]).all()
    assert len({tuple(row) for row in rounds}) == 6  # every order of the classes occurs
    for label, count in ((0, 50), (1, 7), (3, 2)):
        of_class = found[_LABELS[found] == label]
        for start in range(0, 100 - count + 1, count):  # within a class still every example once an epoch
            assert sorted(of_class[start : start + count]) == np.flatnonzero(_LABELS == label).tolist()


def test_balanced_classes_of_every_seed_and_every_epoch_are_in_their_own_order():
    found = [BalancedOrder(_LABELS, seed).indices(0, 300) for seed in (0, 1)]
    assert (_LABELS[found[0]] != _LABELS[found[1]]).any()
    largest = [each[_LABELS[each] == 0].reshape(2, 50) for each in found]  # its epochs have 50 examples
    assert len({epoch.tobytes() for epoch in np.concatenate(largest)}) == 4


def test_balanced_order_can_be_taken_up_anywhere():
    whole = BalancedOrder(_LABELS, seed=4).indices(0, 500)
    for start, stop in [(0, 1), (2, 7), (100, 164), (499, 500)]:
        np.testing.assert_array_equal(BalancedOrder(_LABELS, seed=4).indices(start, stop), whole[start:stop])


def test_crops_are_uniform_and_can_be_taken_up_anywhere():
    crops = ShuffledOrder(1000, seed=0).crops(0, 3000)
    assert crops.shape == (3000, 2) and crops.min() >= 0 and crops.max() < 1
    assert abs(crops.mean() - 0.5) < 0.02 and abs(np.corrcoef(crops.T)[0, 1]) < 0.07
    np.testing.assert_array_equal(ShuffledOrder(1000, seed=0).crops(990, 1010), crops[990:1010])
