"""Copies a generator for inference, with spectral normalization computed once."""

from sagan_tf.networks import Generator


def inference_copy(generator: Generator, *, bake: bool, dtype: str) -> Generator:
    """A Generator of its own that gives the same images.

    Args:
      generator: built; it is left as it is.
      bake: whether the copy has W / sigma for kernels and no spectral normalization. sigma is the one that
        the generator computes in every pass at inference: by one power iteration from the saved u. As u is
        not stored then, it is a constant, and so the function is the same.
      dtype: dtype policy of the copy, "float32" or "mixed_bfloat16".
    """
    copy = generator.copy(spectral_norm=generator.spectral_norm and not bake, dtype=dtype)
    if bake:
        normalized = {layer.kernel.path: layer for layer in generator.kernel_layers if layer.spectral_norm}
        for layer in copy.kernel_layers:
            if layer.kernel.path in normalized:
                layer.kernel.assign(layer.kernel.value / normalized[layer.kernel.path].sigma())
    return copy
