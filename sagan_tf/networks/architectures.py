"""The table of sizes, and where in them attention can stand."""

import typing

FIRST_RESOLUTION = 4  # the generator's first feature map


class Architecture(typing.NamedTuple):
    """Output channels of the blocks, in multiples of the base channels, and how many D blocks downsample."""

    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    downsampling: int


# 128 is the original's generator_test and discriminator_test. 32 is SNGAN's CIFAR-10 network (Miyato et al.
# 2018, table 4: 256 channels in G, 128 in D); the other sizes follow BigGAN (Brock et al. 2019, appendix B).
ARCHITECTURES = {
    32: Architecture((4, 4, 4), (4, 4, 4, 4), 2),
    64: Architecture((16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: Architecture((16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    256: Architecture((16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
    512: Architecture((16, 8, 8, 4, 2, 1, 1), (1, 1, 2, 4, 8, 8, 16, 16), 7),
}


def generator_resolutions(image_size: int) -> tuple[int, ...]:
    """The resolution after each block of the generator: where attention can be placed."""
    blocks = len(ARCHITECTURES[image_size].generator)
    return tuple(FIRST_RESOLUTION * 2 ** (index + 1) for index in range(blocks))


def discriminator_resolutions(image_size: int) -> tuple[int, ...]:
    """The resolution after each downsampling block of the discriminator: where attention can be placed."""
    return tuple(image_size // 2 ** (index + 1) for index in range(ARCHITECTURES[image_size].downsampling))
