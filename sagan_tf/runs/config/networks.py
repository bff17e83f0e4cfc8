"""Options of the networks."""

import dataclasses

from sagan_tf.system.options import option

IMAGE_SIZES = (32, 64, 128, 256, 512)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What the networks are made of."""

    image_size: int = option(
        128, "Height and width of the images.", section="Networks", choices=IMAGE_SIZES, common=True
    )
    z_dim: int = option(128, "Length of z.", section="Networks", minimum=1)
    generator_channels: int = option(
        64,
        "Width of the generator; its blocks have multiples of it.",
        section="Networks",
        minimum=1,
        common=True,
    )
    discriminator_channels: int = option(
        64,
        "Width of the discriminator; its blocks have multiples of it.",
        section="Networks",
        minimum=1,
        common=True,
    )
    generator_attention: tuple[int, ...] = option(
        (32,),
        "Sizes of the generator's feature maps that attention looks at, e.g. 32 or 16,32; empty for none.",
        section="Networks",
        common=True,
    )
    discriminator_attention: tuple[int, ...] = option(
        (32,),
        "The same of the discriminator.",
        section="Networks",
        common=True,
    )
    attention_form: str = option(
        "original",
        "Form of the attention: the code of 2018 (pooled keys and values), or as in the paper's versions;"
        " residual: a block of as many parameters in its place, the control of the paper's table 1.",
        section="Networks",
        choices=("original", "paper_v2", "paper_v1", "residual"),
    )
    attention_key_ratio: int = option(
        8, "Queries and keys have 1/k of the channels (k in the paper).", section="Networks", minimum=1
    )
    class_conditioning: str = option(
        "projection",
        "How the discriminator knows of classes: the projection of the label's embedding, as in the paper, or"
        " an auxiliary classifier (AC-GAN).",
        section="Networks",
        choices=("projection", "auxiliary_classifier"),
    )
    discriminator_shortcut: str = option(
        "raw",
        "What the shortcuts of the discriminator's blocks start from: the block's input, or that input after"
        " the ReLU, as in StudioGAN and in most files of mmgeneration.",
        section="Networks",
        choices=("raw", "activated"),
    )
    generator_embedding: int = option(
        0,
        "Length of a class embedding that all batch norms of the generator share (BigGAN: 128); 0 for a"
        " table of gains and biases in each, as in the paper.",
        section="Networks",
        minimum=0,
    )
    hierarchical_z: bool = option(
        False,
        "Divide z between the generator's first layer and the batch norms of its blocks (BigGAN: --z_dim=120"
        " at 128x128).",
        section="Networks",
    )
    initializer: str = option(
        "glorot",
        "Initial kernels of both networks: Glorot uniform, as in the paper, or orthogonal, as in BigGAN.",
        section="Networks",
        choices=("glorot", "orthogonal"),
    )
    generator_spectral_norm: bool = option(
        True, "Spectral normalization in the generator.", section="Networks"
    )
    discriminator_spectral_norm: bool = option(
        True, "Spectral normalization in the discriminator.", section="Networks"
    )
    sync_batch_norm: bool = option(
        True,
        "Batch statistics over all replicas; otherwise each replica's own, as in the original.",
        section="Networks",
    )
