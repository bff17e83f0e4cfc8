"""SAGAN's discriminator, and AC-GAN's head for it."""

import functools

import keras
import tensorflow as tf

from sagan_tf.layers import SNConv2D, SNDense, SNEmbedding
from sagan_tf.networks.architectures import ARCHITECTURES, discriminator_resolutions
from sagan_tf.networks.blocks import DownBlock
from sagan_tf.networks.network import (
    INITIALIZERS,
    Look,
    Network,
    check_attention,
    check_attention_form,
    check_image_size,
    check_initializer,
    check_inputs,
)

_CONFIG = (
    "image_size",
    "channels",
    "classes",
    "attention",
    "attention_form",
    "attention_key_ratio",
    "spectral_norm",
    "class_conditioning",
    "initializer",
    "shortcut",
    "fast",
    "frozen_blocks",
)
SHORTCUTS = ("raw", "activated")
CLASS_CONDITIONING = ("projection", "auxiliary_classifier")


@keras.saving.register_keras_serializable("sagan_tf")
class Discriminator(Network):
    """Images and labels -> logits: the projection discriminator (Miyato and Koyama 2018, equation 4).

    logit = dense(h) + <h, embedding(label)>, h being the sum over positions of the last feature
    map. At 128x128 it is the original's `discriminator_test`.

    With an auxiliary classifier (AC-GAN, Odena et al. 2017) logit = dense(h), whatever the label, and
    a second dense layer gives the class logits from the same h. That paper's network is another one:
    only its head is taken, as in SAGAN's comparison (table 2).

    Args: as of `Generator`, and
      channels: the base width is that of the first block at 128x128.
      class_conditioning: "projection" or "auxiliary_classifier"; of no effect where unconditional, which
        an auxiliary classifier cannot be.
      shortcut: what the blocks' shortcuts start from: "raw" (the input) or "activated" (the input after the
        ReLU; in the first block, which has none, the input).
      frozen_blocks: how many blocks do not learn, see `freeze_blocks`.

    Call arguments:
      images: float32 (B, image_size, image_size, 3) in [-1, 1].
      labels: int32 (B,), in [0, classes); None where unconditional.
      update_u: whether this pass stores u; None: in training, see the docstring of
        `sagan_tf.layers.spectral_normalization`.
      training: set by Keras; the logits do not depend on it.

    Returns: float32 logits (B,). For attention maps see `look`, for class logits `class_logits`.

    Raises:
      ValueError: an argument that does not fit; it names the value.

    >>> discriminator = Discriminator(image_size=32, channels=4, classes=10, attention=(16,))
    >>> discriminator(np.zeros((2, 32, 32, 3), "float32"), np.array([3, 7])).shape
    TensorShape([2])
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 64,
        classes: int = 1000,
        attention=(32,),
        attention_form: str = "original",
        attention_key_ratio: int = 8,
        spectral_norm: bool = True,
        class_conditioning: str = "projection",
        initializer: str = "glorot",
        shortcut: str = "raw",
        fast: bool = False,
        frozen_blocks: int = 0,
        name: str = "discriminator",
        **model_arguments,
    ):
        super().__init__(name=name, **model_arguments)
        self.image_size, self.channels, self.classes = check_image_size(image_size), channels, classes
        self.attention = check_attention(attention, discriminator_resolutions(image_size), "discriminator")
        self.attention_form = check_attention_form(attention_form)
        self.attention_key_ratio = attention_key_ratio
        self.spectral_norm, self.class_conditioning = spectral_norm, class_conditioning
        self.initializer, self.fast = check_initializer(initializer), fast
        self.frozen_blocks = frozen_blocks
        if shortcut not in SHORTCUTS:
            raise ValueError(f"shortcut={shortcut!r}: allowed are {', '.join(SHORTCUTS)}")
        self.shortcut = shortcut
        policy = self.dtype_policy
        kernels = {"spectral_norm": spectral_norm, "kernel_initializer": INITIALIZERS[initializer]}
        conv = functools.partial(SNConv2D, dtype=policy, fast=fast, **kernels)
        architecture = ARCHITECTURES[image_size]
        self.blocks, self.attention_layers, self.residual_layers = [], {}, {}
        resolution = image_size
        for index, multiple in enumerate(architecture.discriminator):
            down = index < architecture.downsampling
            resolution = resolution // 2 if down else resolution
            name = f"block_{resolution}" if down else f"block_{resolution}_{index}"
            self.blocks.append(
                DownBlock(
                    channels * multiple,
                    conv,
                    index == 0,
                    down,
                    shortcut == "activated",
                    dtype=policy,
                    name=name,
                )
            )
            if down and resolution in self.attention:
                self._place(resolution, channels * multiple)
        self._make_head(channels * architecture.discriminator[-1], kernels)

    def _make_head(self, width: int, kernels: dict) -> None:
        """Makes the layers after the sum over positions: float32 whatever the policy, as they cost little."""
        if self.class_conditioning not in CLASS_CONDITIONING:
            allowed = ", ".join(CLASS_CONDITIONING)
            raise ValueError(f"class_conditioning={self.class_conditioning!r}: allowed are {allowed}")
        arguments = kernels | {"dtype": "float32"}
        self.dense = SNDense(1, name="dense", **arguments)
        self.embedding = self.classifier = None
        if self.class_conditioning == "auxiliary_classifier":
            if not self.classes:
                raise ValueError("class_conditioning='auxiliary_classifier': there are no classes")
            self.classifier = SNDense(self.classes, name="classifier", **arguments)
        elif self.classes:
            self.embedding = SNEmbedding(self.classes, width, name="embedding", **arguments)

    def build(self, input_shape=None):
        shape = (None, self.image_size, self.image_size, 3)
        for block in self.blocks:
            block.build(shape)
            size = shape[1] // 2 if block.downsampling else shape[1]
            shape = (None, size, size, block.conv_1.filters)
            if block.downsampling:
                self._build_placed(shape)
        self.dense.build((None, shape[-1]))
        if self.embedding is not None:
            self.embedding.build((None,))
        if self.classifier is not None:
            self.classifier.build((None, shape[-1]))
        self.built = True
        self.freeze_blocks(self.frozen_blocks)
        self._stay_frozen()

    def call(
        self, images, labels=None, update_u: bool | None = None, training: bool | None = None
    ) -> tf.Tensor:
        # Keras hands `training` on to the layers.
        return self.logits(self.features(images, update_u), labels, update_u)

    def freeze_blocks(self, count: int) -> None:
        """Makes the `count` blocks that are nearest the image, and the attention after them, untrainable.

        Their u still moves. Call it after `build`. Raises ValueError if there are not so many downsampling
        blocks.
        """
        self.frozen_blocks, frozen = count, self.blocks[:count]
        if len(frozen) < count or not all(block.downsampling for block in frozen):
            most = sum(block.downsampling for block in self.blocks)
            raise ValueError(f"freeze_blocks({count}): at most {most} can be frozen")
        for block in frozen:
            block.trainable = False
            resolution = block.name.removeprefix("block_")
            for layers in (self.attention_layers, self.residual_layers):
                if resolution in layers:
                    layers[resolution].trainable = False

    def look(self, images, labels=None) -> Look:
        """Logits, with the maps and shares of every attention layer; no u is stored."""
        inside = Look(None, {}, {})
        h = self.features(images, False, inside)
        return inside._replace(output=self.logits(h, labels, False))

    def features(self, images, update_u: bool | None = None, inside: Look | None = None) -> tf.Tensor:
        """The sum over positions of the last feature map, float32 (B, C); `inside` gets maps and shares."""
        images = check_inputs("images", tf.convert_to_tensor(images), (self.image_size, self.image_size, 3))
        x = tf.cast(images, self.compute_dtype)
        for block in self.blocks:
            x = self._run(block, x, update_u=update_u)
            if block.downsampling:
                x = self._attend(x, update_u, inside)
        return tf.reduce_sum(tf.cast(tf.nn.relu(x), tf.float32), axis=(1, 2))

    def logits(self, h, labels=None, update_u: bool | None = None) -> tf.Tensor:
        """The logits float32 (B,) of `features` and labels."""
        logits = self.dense(h, update_u=update_u)[:, 0]
        if self.embedding is not None:
            logits += tf.reduce_sum(h * self.embedding(labels, update_u=update_u), axis=1)
        return logits

    def class_logits(self, h, update_u: bool | None = None) -> tf.Tensor:
        """The auxiliary classifier's logits float32 (B, classes) of `features`.

        Raises:
          ValueError: there is no auxiliary classifier.
        """
        if self.classifier is None:
            raise ValueError("class_logits: this discriminator has no auxiliary classifier")
        return self.classifier(h, update_u=update_u)

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in _CONFIG}
