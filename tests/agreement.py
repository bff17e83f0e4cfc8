"""What "the same" means where sums are added up in another order: another batch size, graph, or machine.

Only the same operation on the same machine with the same batch size gives the same bits.
"""

import numpy as np

# float32 carries 24 bits: a sum of n products is off by about sqrt(n) * 6e-8 of its size. The tests' networks
# have ten layers of at most 600 products: 10 * sqrt(600) * 6e-8 = 1.5e-5. Images are in [-1, 1].
ROUNDING = 5e-5


def assert_pictures_agree(ours, theirs, share=0.01):
    """Pictures, uint8 of one shape: equal but for rounding.

    `ROUNDING` is 0.6% of a level, so a value between two levels can fall to either side. Values differ by one
    level at most, and no more than this share of them. In bfloat16 more do.
    """
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == np.uint8
    differences = np.abs(ours.astype(int) - theirs)
    assert differences.max() <= 1, f"by {differences.max()} levels"
    assert np.mean(differences > 0) <= share, f"{np.mean(differences > 0):.2%} of the values differ"
