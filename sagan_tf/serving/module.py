"""The generator as a TensorFlow module with served signatures. A SavedModel of it does not need this package.

Keras's own call of the Generator is traced with the module's variables instead of the network's. Kernels
without spectral normalization are prepared beforehand, see `serving.prepared`.
"""

import functools

import keras
import tensorflow as tf

from sagan_tf.networks import Generator
from sagan_tf.networks.pixels import to_uint8
from sagan_tf.networks.sampling import draw_one_z
from sagan_tf.serving.prepared import prepare_layers

_SAMPLE_SEED = 0  # a picture of seed i is sample i of this seed, as `sagan_tf.evaluate` draws it


class ServedGenerator(tf.Module):
    """The weights of a generator, and functions of them.

    The signatures; an unconditional generator's have no labels:

      serving_default: z, labels -> images
      generate: labels, seed, truncation -> images_uint8
      png: labels, seed, truncation -> png_bytes
      attention: z, labels -> images and attention_R for every resolution R; only if there is attention

    Inputs: z is float32 (n, z_dim); labels are int32 (n,) in [0, classes); seed is int64 (n,); truncation t
    is float32 (n,): z of the row is drawn from [-t, t], 0 for no truncation.
    Outputs: images are float32 (n, size, size, 3) in [-1, 1]; images_uint8 are the same in [0, 255];
    png_bytes are strings (n,), one PNG file a row; attention_R is float32 (n, N, M), see `SelfAttention`.
    No row depends on another. Wrong inputs raise an error that names the input.

    Args:
      generator: built; see `inference_copy`.
      class_file: text file with one class name a line, kept as an asset.
      weights: dtype of stored matrices: "float32", "bfloat16" or "float16". Vectors stay float32. Kernels
        that are used in 16 bits are stored in 16 bits. Kernels without spectral normalization are stored
        prepared, see `prepare_layers`.

    Raises:
      ValueError: a weight is not finite in that dtype.
    """

    def __init__(self, generator: Generator, class_file: str, weights: str = "float32"):
        super().__init__(name="sagan")
        self.class_names = tf.saved_model.Asset(class_file)
        self._classes, self._z_dim = generator.classes, generator.z_dim
        matrices = {v.path for v in generator.trainable_variables if len(v.shape) > 1}
        self._stored = {}

        def store(path, value):
            dtype = weights if path in matrices and value.dtype == tf.float32 else value.dtype
            self._stored[path] = _stored(path, value, dtype)
            return self._stored[path]

        network = generator.copy()
        replaced = prepare_layers(network, store)
        variables = [variable for variable in network.variables if variable.path not in replaced]
        for variable in variables:
            store(variable.path, variable.value)
        self._generate = self._on_own_weights(variables, network)
        self._look = self._on_own_weights(variables, network.look)
        self._attends = bool(generator.attention_layers)

    def _on_own_weights(self, variables, function):
        """A function of z and labels, the network or its `look`, that uses this module's weights."""

        @functools.partial(tf.function, autograph=False)  # one copy in the file for all signatures
        def call(z, labels):
            with keras.StatelessScope(state_mapping=[(v, self._stored[v.path]) for v in variables]):
                return function(z, labels)

        # A tf.function as an attribute of the module would be saved a second time.
        return lambda z, labels: call(z, labels)

    @property
    def inputs(self) -> dict[str, list[tf.TensorSpec]]:
        """The inputs of each signature."""
        labels = [tf.TensorSpec((None,), tf.int32, "labels")] if self._classes else []
        z = [tf.TensorSpec((None, self._z_dim), tf.float32, "z"), *labels]
        drawn = [tf.TensorSpec((None,), tf.int64, "seed"), tf.TensorSpec((None,), tf.float32, "truncation")]
        specs = {"serving_default": z, "generate": drawn + labels, "png": drawn + labels}
        return specs | {"attention": z} if self._attends else specs

    def save(self, directory: str) -> None:
        """Writes the SavedModel."""
        methods = {
            "serving_default": self._images,
            "generate": self._drawn,
            "png": self._pngs,
            "attention": self._attention,
        }
        functions = {
            name: tf.function(methods[name], autograph=False).get_concrete_function(
                **{spec.name: spec for spec in specs}
            )
            for name, specs in self.inputs.items()
        }
        tf.saved_model.save(self, directory, signatures=functions)

    def _images(self, z, labels=None):
        z, labels = self._checked(z=z, labels=labels)
        return {"images": self._generate(z, labels)}

    def _attention(self, z, labels=None):
        z, labels = self._checked(z=z, labels=labels)
        seen = self._look(z, labels)
        return {"images": seen.output} | {f"attention_{size}": beta for size, beta in seen.maps.items()}

    def _drawn(self, seed, truncation, labels=None):
        seed, truncation, labels = self._checked(seed=seed, truncation=truncation, labels=labels)
        z = tf.map_fn(
            lambda row: draw_one_z(row[0], tf.constant(_SAMPLE_SEED, tf.int64), self._z_dim, row[1]),
            (seed, truncation),
            fn_output_signature=tf.TensorSpec((self._z_dim,), tf.float32),
        )
        return {"images_uint8": to_uint8(self._generate(z, labels))}

    def _pngs(self, seed, truncation, labels=None):
        images = self._drawn(seed, truncation, labels)["images_uint8"]
        return {"png_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    def _checked(self, **inputs):
        """The inputs, checked in the graph; None stays None."""
        given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        # An operation of the graph, so that it also checks what a server feeds.
        given = {name: tf.ensure_shape(tensor, tensor.shape) for name, tensor in given.items()}
        (first, other), *others = given.items()
        checks = [_refuse(tf.shape(other)[0] == 0, f"{first}: must have at least one row")]
        checks += [
            _refuse(
                tf.shape(tensor)[0] != tf.shape(other)[0],
                f"{name}: must have as many rows as {first}",
                tf.shape(tensor)[0],
                tf.shape(other)[0],
            )
            for name, tensor in others
        ]
        if "labels" in given:
            labels = given["labels"]
            wrong = (labels < 0) | (labels >= self._classes)
            checks.append(_refuse(wrong, f"labels: allowed are 0 to {self._classes - 1}", labels))
        if "truncation" in given:
            t = given["truncation"]
            wrong = (t < 0) | ~tf.math.is_finite(t)
            checks.append(_refuse(wrong, "truncation: must be a positive number, or 0 for none", t))
        with tf.control_dependencies(checks):
            given = {name: tf.identity(tensor) for name, tensor in given.items()}
        return [given.get(name) for name in inputs]


def _stored(path: str, value, dtype) -> tf.Variable:
    value = tf.cast(value, dtype)
    if not bool(tf.reduce_all(tf.math.is_finite(tf.cast(value, tf.float32)))):
        raise ValueError(f"{path} is not finite in {tf.as_dtype(dtype).name}")
    return tf.Variable(value, trainable=False, name=path)


def _refuse(wrong, text: str, *values):
    """An operation that fails with `text` and the values, if any of `wrong` is true."""
    data = [f"{text}; given:", *values] if values else [text]
    return tf.debugging.Assert(~tf.reduce_any(wrong), data, summarize=16)
