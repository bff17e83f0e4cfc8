"""Self-Attention GAN (Zhang, Goodfellow, Metaxas, Odena 2018) in TensorFlow 2 and Keras 3.

Importing this package is cheap: TensorFlow is only loaded by the modules that need it.
"""

from sagan_tf.system import keras_settings
from sagan_tf.system.runtime import prepare

__all__ = ["prepare"]
__version__ = "0.1.0"

keras_settings.choose_backend()
