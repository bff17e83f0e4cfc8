"""The nearest training images, against all distances at once."""

import numpy as np
import pytest

from sagan_tf.data.dataset import Dataset
from sagan_tf.inspection import nearest


class Source:
    """Images in memory, as a dataset reads them."""

    def __init__(self, images):
        self._images, self.labels = images, np.zeros(len(images), np.int32)

    def __len__(self):
        return len(self._images)

    def read(self, indices):
        return self._images[indices], self.labels[indices]


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_nearest_in_parts_is_nearest_of_all():
    random = np.random.default_rng(0)
    queries, points = (random.standard_normal((n, 5)).astype(np.float32) for n in (7, 40))
    queries[:3] = points[[4, 20, 39]]
    own = np.array([4, 20, 39, -1, -1, -1, -1])
    found = nearest.Nearest(queries, 3, own)
    for part in np.array_split(np.arange(40), 6):
        found.update(points[part], part)
    distances = np.linalg.norm(queries[:, None].astype(np.float64) - points, axis=2)
    distances[np.arange(3), own[:3]] = np.inf
    np.testing.assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :3], rtol=1e-4)


@pytest.mark.parametrize("count", [300, 4])  # more than are read at once; fewer than neighbours are wanted
def test_a_copied_image_is_found(count):
    real = images_of(count)
    samples = np.concatenate([real[[count - 1]], images_of(2, seed=1)])
    mean = nearest.Space("mean colours", lambda images: images.mean(axis=(1, 2)).astype(np.float32))
    done = []
    dataset = Dataset("random", Source(real), ["all"], 8)
    pixels, colours = nearest.find(samples, dataset, [nearest.pixels(), mean], 5, done.append)
    assert done[-1] == count and pixels.images.shape == (3, min(count, 5), 8, 8, 3)
    for finding, embed in ((pixels, lambda i: i.reshape(len(i), -1) / 255.0), (colours, mean.embed)):
        np.testing.assert_array_equal(finding.images[0, 0], real[count - 1])
        assert finding.distances[0] < 1e-2
        a, b = embed(samples).astype(np.float64), embed(real).astype(np.float64)
        to_real = np.linalg.norm(a[:, None] - b, axis=2)
        np.testing.assert_allclose(finding.distances[1:], to_real.min(axis=1)[1:], rtol=1e-3)
        np.testing.assert_array_equal(finding.images[:, 0], real[to_real.argmin(axis=1)])
        among = np.linalg.norm(b[:, None] - b, axis=2) + np.diag(np.full(count, np.inf))
        np.testing.assert_allclose(finding.real.min(), among.min(), rtol=0.3)
        assert finding.real.min() > 0
    assert "pixels: from a sample to the nearest training image: median" in pixels.line()


def test_real_images_are_not_their_own_neighbours():
    real = images_of(60)
    real[7] = real[8]
    finding = nearest.find(real[:1], Dataset("random", Source(real), ["all"], 8), [nearest.pixels()], 1, id)[
        0
    ]
    assert len(finding.real) == 60
    assert (finding.real < 1e-2).sum() == 2  # the pair of duplicates, and no other


def test_picture_has_a_sample_and_its_neighbours_in_a_row():
    samples, neighbours = images_of(2), images_of(6, 1).reshape(2, 3, 8, 8, 3)
    finding = nearest.Finding("pixels", neighbours, np.zeros(2), np.zeros(2))
    picture = nearest.picture(samples, ["cat", "dog"], finding)
    last = neighbours[1, 2].repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(picture[-64:, -64:], last)
    first = samples[1].repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(picture[-64:, -4 * 64 - 14 : -3 * 64 - 14], first)
