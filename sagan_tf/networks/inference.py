"""The generator as it is handed on: at inference, with spectral normalization computed once."""

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
    spectral_norm = generator.spectral_norm and not bake
    config = generator.get_config() | {"spectral_norm": spectral_norm, "dtype": dtype}
    copy = Generator.from_config(config)
    copy.build()
    values = {variable.path: variable.value for variable in generator.variables}
    if generator.spectral_norm and bake:
        for layer in generator.kernel_layers:
            if layer.spectral_norm:
                values[layer.kernel.path] = layer.kernel.value / layer.sigma()
    for variable in copy.variables:
        variable.assign(values[variable.path])
    return copy
