"""Self-attention over a feature map (SAGAN, section 3), in the paper's forms and in the original code's."""

import math
import typing

import keras
import tensorflow as tf

from sagan_tf.layers.checks import check_input_shape
from sagan_tf.layers.fast_attention import mix_large
from sagan_tf.layers.mixing import attention_weights, mix, mix_by
from sagan_tf.layers.spectral_normalization import SNDense


class AttentionForm(typing.NamedTuple):
    """What distinguishes the forms."""

    value_ratio: int | None  # a value has C / value_ratio channels; None: as many as a key
    pooled: bool  # keys and values 2x max-pooled in every dimension
    projected: bool  # values brought back to C channels by a last 1x1 convolution (v in the paper)


ATTENTION_FORMS = {
    "original": AttentionForm(value_ratio=2, pooled=True, projected=True),  # sn_non_local_block_sim
    "paper_v2": AttentionForm(value_ratio=None, pooled=False, projected=True),  # arXiv:1805.08318v2
    "paper_v1": AttentionForm(value_ratio=1, pooled=False, projected=False),  # arXiv:1805.08318v1
}


class Attended(typing.NamedTuple):
    """What `SelfAttention.look` returns.

    Attributes:
      output: what the layer returns.
      beta: the attention map, float32 (B, N, M); rows sum to 1; M = N, or the number of pooled positions.
      share: |gamma o| / |x| of each image, float32 (B,); Euclidean norms over positions and channels.
    """

    output: tf.Tensor
    beta: tf.Tensor
    share: tf.Tensor


@keras.saving.register_keras_serializable("sagan_tf")
class SelfAttention(keras.layers.Layer):
    """y = gamma * o + x, where o mixes the values of all positions (SAGAN, equations 1 to 3).

    Position j gives a query, every position i a key and a value; beta_j,i = softmax over i of
    query_j . key_i, and o_j = sum over i of beta_j,i value_i. gamma is a learned scalar that starts
    at 0, so that the layer starts as the identity. query is the paper's f, key its g, value its h
    and the last projection its v; the original code calls them theta, phi, g and attn, and gamma
    sigma_ratio. No layer has a bias.

    Args:
      form: a key of `ATTENTION_FORMS`: "original" (the code of 2018: keys and values pooled, values
        C/2), "paper_v2" (all positions, values C/key_ratio) or "paper_v1" (all positions, values C,
        no projection).
      key_ratio: queries and keys have C / key_ratio channels (k in the paper); from 1 to C.
      spectral_norm: whether the projections are spectrally normalized.
      kernel_initializer: of the projections.
      fast: whether large maps are mixed image by image (`fast_attention.py`): the same function but for
        rounding, faster on CPUs.

    Call arguments:
      inputs: (B, L, C), (B, H, W, C) or (B, D, H, W, C); N positions in all. All but C may be unknown when
        the layer is built. A mask is not used: feature maps have none.
      update_u: whether this pass stores the new u of the projections; None: in training, see the docstring
        of `sagan_tf.layers.spectral_normalization`.
      return_attention_scores: whether the attention map is returned too, as of `MultiHeadAttention`.
      training: set by Keras.

    Returns: the shape and dtype of `inputs`. With `return_attention_scores` a pair: that, and the map float32
      (B, N, M), whose rows sum to 1; M is N, or the number of pooled positions. See also `look`.

    Raises:
      ValueError: an unknown form, a key_ratio out of range, or an input of another rank.

    >>> layer = SelfAttention(form="paper_v2")
    >>> y, scores = layer(np.ones((1, 4, 4, 16), "float32"), return_attention_scores=True)
    >>> scores.shape
    TensorShape([1, 16, 16])
    """

    def __init__(
        self,
        form: str = "original",
        key_ratio: int = 8,
        spectral_norm: bool = True,
        kernel_initializer="glorot_uniform",
        fast: bool = False,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        if form not in ATTENTION_FORMS:
            raise ValueError(f"form={form!r}: allowed are {', '.join(ATTENTION_FORMS)}")
        if key_ratio < 1:
            raise ValueError(f"key_ratio={key_ratio}: must be at least 1")
        self.form = form
        self.key_ratio = key_ratio
        self.spectral_norm = spectral_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.fast = fast

    def _projection(self, units: int, name: str, input_shape) -> SNDense:
        layer = SNDense(
            max(1, units),
            use_bias=False,
            spectral_norm=self.spectral_norm,
            kernel_initializer=self.kernel_initializer.clone(),  # shared, it gives equal values
            name=name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )
        layer.build(input_shape)
        return layer

    def build(self, input_shape):
        meaning = "(batch, 1 to 3 spatial axes, channels), the channels known"
        check_input_shape(self, input_shape, (3, 4, 5), meaning)
        channels, form = input_shape[-1], ATTENTION_FORMS[self.form]
        if channels < self.key_ratio:
            raise ValueError(f"key_ratio={self.key_ratio}: is more than the input's channels, {channels}")
        self.input_spec = keras.layers.InputSpec(axes={-1: channels})
        value_channels = max(1, channels // (form.value_ratio or self.key_ratio))
        self.query = self._projection(channels // self.key_ratio, "query", input_shape)
        self.key = self._projection(channels // self.key_ratio, "key", input_shape)
        self.value = self._projection(value_channels, "value", input_shape)
        self.projection = None
        if form.projected:
            self.projection = self._projection(channels, "projection", (*input_shape[:-1], value_channels))
        self.gamma = self.add_weight(
            name="gamma", shape=(), initializer="zeros", dtype="float32", autocast=False
        )

    def call(
        self,
        inputs,
        update_u: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        moving = {"update_u": update_u, "training": training}
        query, key, value = self._project(inputs, **moving)
        if return_attention_scores:
            beta = attention_weights(query, key)
            return self._add(self._back(mix_by(beta, value), **moving), inputs), beta
        mixed = mix_large(query, key, value) if self.fast else mix(query, key, value)  # (B, N, C_v)
        return self._add(self._back(mixed, **moving), inputs)

    def look(self, inputs) -> Attended:
        """The output with the attention map and the size of what attention adds; no u is stored.

        Args:
          inputs: as of the layer, which must be built.
        """
        inputs = tf.cast(inputs, self.compute_dtype)
        query, key, value = self._project(inputs, update_u=False)
        beta = attention_weights(query, key)
        mixed = self._back(mix_by(beta, value), update_u=False)
        share = tf.math.divide_no_nan(tf.abs(self.gamma.value) * _norm(mixed), _norm(inputs))
        return Attended(self._add(mixed, inputs), beta, share)

    def _project(self, inputs, update_u: bool | None, training: bool | None = None):
        """Query (B, N, C/k), key (B, M, C/k) and value (B, M, C_v)."""
        moving = {"update_u": update_u, "training": training}
        query = self.query(inputs, **moving)
        key, value = self.key(inputs, **moving), self.value(inputs, **moving)
        if ATTENTION_FORMS[self.form].pooled:
            key, value = _pool(key), _pool(value)
        return _flatten(query), _flatten(key), _flatten(value)

    def _back(self, mixed, update_u: bool | None, training: bool | None = None):
        """Brings the mixed values back to C channels: (B, N, C_v) -> (B, N, C)."""
        if self.projection is None:
            return mixed
        return self.projection(mixed, update_u=update_u, training=training)

    def _add(self, mixed, inputs):
        return tf.cast(self.gamma.value, inputs.dtype) * tf.reshape(mixed, tf.shape(inputs)) + inputs

    def compute_output_shape(self, input_shape, **_):
        return input_shape

    def compute_output_spec(self, inputs, update_u=None, return_attention_scores=False, training=None):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        sizes, pooled = inputs.shape[1:-1], ATTENTION_FORMS[self.form].pooled
        keys = [size and -(-size // 2) if pooled else size for size in sizes]
        shape = (inputs.shape[0], *(None if None in axes else math.prod(axes) for axes in (sizes, keys)))
        return output, keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return super().get_config() | {
            "form": self.form,
            "key_ratio": self.key_ratio,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "fast": self.fast,
        }


def _norm(x):
    """Euclidean norm of each example, float32 (B,)."""
    return tf.norm(tf.reshape(tf.cast(x, tf.float32), (tf.shape(x)[0], -1)), axis=1)


def _flatten(x):
    """(B, ..., C) -> (B, N, C)."""
    return tf.reshape(x, (tf.shape(x)[0], -1, x.shape[-1]))


def _pool(x):
    """2x max pooling of every spatial axis; an odd last position is a pool of its own, so none is lost."""
    dimensions = len(x.shape) - 2
    return tf.nn.max_pool(x, ksize=[2] * dimensions, strides=[2] * dimensions, padding="SAME")
