"""What a run will cost, from the shapes of its layers: parameters, arithmetic, memory."""

import math
import typing

from sagan_tf.layers import fast_attention
from sagan_tf.layers.matched_residual_block import attention_parameters
from sagan_tf.layers.self_attention import ATTENTION_FORMS
from sagan_tf.networks import generator_resolutions
from sagan_tf.system.errors import UserError


class Cost(typing.NamedTuple):
    """What one image's forward pass through a network, or through a part of it, costs.

    Attributes:
      flop: 2 x multiply-adds of convolutions, products and attention, as they are computed.
      kept: values that the backward pass needs, in the precision of activations.
      kept_float32: values that the backward pass needs in float32, whatever the precision.
      normed: inputs of batch norm. In bfloat16 they are kept in float32 as well.
      saved: flop that the fast forms save; `flop + saved` is the cost of the paper's order of layers.
      inputs: values that a block keeps when the rest of it is recomputed; 0 outside blocks.
      largest: values of the largest feature map.
    """

    flop: int = 0
    kept: int = 0
    kept_float32: int = 0
    normed: int = 0
    saved: int = 0
    inputs: int = 0
    largest: int = 0

    def __add__(self, other):
        sums = (a + b for a, b in zip(self[:-1], other[:-1], strict=True))
        return Cost(*sums, max(self.largest, other.largest))

    def kept_bytes(self, precision: str) -> int:
        """Bytes that one image keeps for the backward pass."""
        if precision == "float32":
            return 4 * (self.kept + self.kept_float32)
        return 2 * self.kept + 4 * (self.kept_float32 + self.normed)


class Estimate(typing.NamedTuple):
    """What one training step costs on one replica.

    Attributes:
      generator_parameters, discriminator_parameters: numbers of trainable parameters.
      flop_per_image: arithmetic of a step divided by the batch size.
      plain_flop_per_image: the same in the paper's order of layers, to compare implementations by.
      fixed_bytes: weights, gradients, optimizers, average.
      bytes_per_image: activations at the peak, for each of `images`.
      images: images that a replica computes at once.
    """

    generator_parameters: int
    discriminator_parameters: int
    flop_per_image: int
    plain_flop_per_image: int
    fixed_bytes: int
    bytes_per_image: int
    images: int

    @property
    def bytes(self) -> int:
        """Memory of one replica."""
        return self.fixed_bytes + self.images * self.bytes_per_image


def _attention(layer, resolution: int, channels: int) -> Cost:
    positions = resolution**2
    pooled = math.ceil(resolution / 2) ** 2 if ATTENTION_FORMS[layer.form].pooled else positions
    keys, values = layer.query.units, layer.value.units
    projections = 2 * keys + values + (values if layer.projection is not None else 0)
    flop = 2 * positions * (channels * projections + pooled * (keys + values))
    # Query, keys and values before and after pooling, the mixed values, the output twice.
    kept = positions * (2 * keys + 2 * values + 2 * channels) + pooled * (keys + values)
    if layer.fast and fast_attention.is_large(positions, pooled):  # the scores of two images exist at once
        return Cost(flop, kept + positions * pooled, largest=positions * channels)
    return Cost(flop, kept, positions * pooled, largest=positions * max(pooled, channels))


def _residual(layer, resolution: int, channels: int) -> Cost:
    positions, hidden = resolution**2, layer.conv_1.filters
    # After each ReLU, and the output.
    kept = positions * (2 * channels + hidden)
    return Cost(2 * positions * 18 * channels * hidden, kept, largest=positions * max(channels, hidden))


def _placed(network, resolution: int, channels: int) -> Cost:
    """The cost of the attention or residual block at a resolution, if there is one."""
    for layers, cost in ((network.attention_layers, _attention), (network.residual_layers, _residual)):
        if str(resolution) in layers:
            return cost(layers[str(resolution)], resolution, channels)
    return Cost()


def _saved(convolution, flop: int) -> int:
    """The part of its `flop` that a 3x3 convolution with resampling saves in its fast form."""
    return flop * 3 // 4 if convolution.fast else 0


def generator_cost(generator) -> Cost:
    """One image's forward pass through a built generator."""
    return sum(_generator_parts(generator), Cost())


def _generator_parts(generator):
    rows, columns = generator.dense.kernel.shape
    yield Cost(2 * rows * columns, columns)
    channels = generator.first_width
    for resolution, block in zip(generator_resolutions(generator.image_size), generator.blocks, strict=True):
        width, wide, narrow = block.conv_1.filters, resolution**2, (resolution // 2) ** 2
        joined = _saved(block.conv_1, 2 * wide * 9 * channels * width)
        shortcut = 2 * narrow * channels * width
        yield Cost(
            flop=2 * wide * 9 * (channels + width) * width - joined + shortcut,
            # After each ReLU, before each norm, and the upsampled input of a plain first convolution.
            kept=narrow * channels + wide * ((0 if joined else channels) + 3 * width),
            saved=joined + 3 * shortcut,
            normed=narrow * channels + wide * width,
            inputs=narrow * channels,
            largest=wide * max(channels, width),
        )
        # The projections that give the two norms' gains and biases, if there are any.
        yield Cost(4 * getattr(block.norm_1, "condition_size", 0) * (channels + width))
        channels = width
        yield _placed(generator, resolution, channels)
    positions = generator.image_size**2
    yield Cost(2 * positions * 27 * channels, positions * channels, 2 * positions * 3, positions * channels)


def discriminator_cost(discriminator) -> Cost:
    """One image's forward pass through a built discriminator."""
    return sum(_discriminator_parts(discriminator), Cost())


def _discriminator_parts(discriminator):
    resolution, channels = discriminator.image_size, 3
    for block in discriminator.blocks:
        width, wide = block.conv_1.filters, resolution**2
        resolution = resolution // 2 if block.downsampling else resolution
        narrow = resolution**2
        shortcut = 0 if block.shortcut is None else narrow * channels
        joined = _saved(block.conv_2, 2 * wide * 9 * width**2) if block.downsampling else 0
        yield Cost(
            flop=2 * wide * 9 * (channels + width) * width - joined + 2 * shortcut * width,
            # After each ReLU, the input of a joined convolution, the shortcut's pooled input, the output.
            kept=wide * (channels + (2 if joined else 1) * width) + shortcut + narrow * width,
            # The original's first block pools before its shortcut as well.
            saved=joined + (0 if block.first else 6 * shortcut * width),
            inputs=wide * channels,
            largest=wide * max(channels, width),
        )
        channels = width
        if block.downsampling:
            yield _placed(discriminator, resolution, channels)
    outputs = 1 + (discriminator.embedding is not None)
    if discriminator.classifier is not None:
        outputs += discriminator.classes
    yield Cost(flop=2 * outputs * channels, kept_float32=resolution**2 * channels)


def _kept_bytes(parts, precision: str, recompute: bool) -> int:
    """Bytes that one image keeps in a network. With `recompute`, only one block at a time is kept whole."""
    if not recompute:
        return sum(part.kept_bytes(precision) for part in parts)
    blocks = [part for part in parts if part.inputs]
    others = sum(part.kept_bytes(precision) for part in parts if not part.inputs)
    inputs = sum(Cost(kept=block.inputs).kept_bytes(precision) for block in blocks)
    return others + inputs + max(block.kept_bytes(precision) for block in blocks)


def estimate(config, generator, discriminator, replicas: int) -> Estimate:
    """What a run of `config` with these built networks costs on each of `replicas`."""
    parts = list(_generator_parts(generator)), list(_discriminator_parts(discriminator))
    of_generator, of_discriminator = (sum(each, Cost()) for each in parts)
    steps, in_parts = config.discriminator_steps, config.accumulation_steps > 1
    # A backward pass costs two forward passes. G's step through D needs no gradient of weights: it costs one.
    fakes = steps if in_parts or not config.reuse_fakes else steps - 1
    passes = (fakes + 3, 6 * steps + 2)
    penalties = {"none": 0, "r1,r2": 2}.get(config.gradient_penalty, 1)  # of each pair of images
    # Logits, their gradient at the images, and back through both; G's step through D for the real images.
    passes = (passes[0], passes[1] + 6 * steps * penalties + 2 * (config.loss == "relativistic"))
    plain = sum(
        n * (cost.flop + cost.saved) for n, cost in zip(passes, (of_generator, of_discriminator), strict=True)
    )
    if config.recompute_blocks:  # one forward pass more for each gradient
        passes = (passes[0] + 1, passes[1] + 2 * steps + 1)
    flop = passes[0] * of_generator.flop + passes[1] * of_discriminator.flop
    parameters = [_parameters(network) for network in (generator, discriminator)]
    # W, its gradient, W / sigma and Adam's two moments; and the average of G.
    fixed = 4 * (6 * parameters[0] + 5 * parameters[1])
    # D keeps real images and fakes while G's values wait for its step; two feature maps are in use.
    kept = [_kept_bytes(each, config.precision, config.recompute_blocks) for each in parts]
    # A gradient penalty: the values of its pass, their gradients, and what these are differentiated from.
    seen = 2 + 3 * penalties
    image = kept[0] + seen * kept[1] + 8 * max(of_generator.largest, of_discriminator.largest)
    images = config.batch_size // replicas // config.accumulation_steps
    return Estimate(*parameters, flop, plain, fixed, image, images)


def describe(estimate: Estimate, batch_size: int) -> str:
    """Two lines for the user."""
    of_generator, of_discriminator, flop, plain, _, image, images = estimate
    return (
        f"parameters: generator {of_generator:,}, discriminator {of_discriminator:,}; arithmetic:"
        f" {flop / 1e9:.3g} GFLOP an image ({plain / 1e9:.3g} in the paper's order of layers),"
        f" {flop * batch_size / 1e12:.3g} TFLOP a step\n"
        f"memory: about {_size(estimate.bytes)} a replica besides TensorFlow's own:"
        f" {_size(estimate.fixed_bytes)} for weights and optimizers,"
        f" {_size(image)} for each of {images} images at once"
    )


def checkpoint_bytes(estimate: Estimate) -> int:
    """Size of a checkpoint: weights and Adam's two moments of both networks, and the average of G."""
    return 4 * (4 * estimate.generator_parameters + 3 * estimate.discriminator_parameters)


def describe_disk(config, estimate: Estimate) -> str:
    """A line for the user: the space that a run's checkpoints take at its end."""
    count = config.keep_checkpoints + (config.keep_best_checkpoints if config.evaluate_every_steps else 0)
    count += config.train_steps // config.keep_every_steps if config.keep_every_steps else 0
    size = checkpoint_bytes(estimate)
    return f"disk: about {_size(count * size)} for {count} checkpoints of {_size(size)}"


def describe_residual_blocks(*networks) -> list[str]:
    """A line for every residual block that stands in for attention: the parameters of both."""
    return [
        f"{network.name}: residual block at {resolution}: {_parameters(layer):,} parameters, the attention it"
        f" stands for {attention_parameters(layer.conv_2.filters, layer.key_ratio):,}"
        for network in networks
        for resolution, layer in network.residual_layers.items()
    ]


def _parameters(owner) -> int:
    """The number of trainable parameters of a network or layer."""
    return sum(math.prod(variable.shape) for variable in owner.trainable_variables)


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def is_out_of_memory(error: Exception) -> bool:
    """Whether a ResourceExhaustedError is about memory. TensorFlow raises it for a full disk too."""
    return any(word in str(error) for word in ("OOM", "out of memory", "Out of memory", "allocat"))


def out_of_memory(config, estimate: Estimate) -> UserError:
    """The error that says what to change; the change that helps most and costs least comes first."""
    remedy = {}
    if estimate.images > 1:
        replica = estimate.images * config.accumulation_steps
        parts = range(config.accumulation_steps + 1, replica + 1)
        remedy["accumulation_steps"] = next(n for n in parts if replica % n == 0)
    if not config.recompute_blocks and not config.xla:
        remedy["recompute_blocks"] = True
    if config.precision == "float32":
        remedy["precision"] = "bfloat16"
    if estimate.images > 1:
        remedy["batch_size"] = config.batch_size // estimate.images * (estimate.images // 2)
    for name in ("generator_channels", "discriminator_channels"):
        remedy[name] = max(getattr(config, name) // 2, 1)
    return UserError(
        f"out of memory: about {_size(estimate.bytes)} are needed for {estimate.images} images at once;"
        " one of these helps, the cheapest first",
        remedy=remedy,
    )
