"""The game as a Keras model: `compile` and `fit` train it by the steps of `sagan_tf.train`."""

import typing

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.library.model import Classes, Model, of_network
from sagan_tf.networks import Discriminator, Generator
from sagan_tf.networks.pixels import from_uint8
from sagan_tf.training.losses import GRADIENT_PENALTIES, LOSSES
from sagan_tf.training.objective import Objective
from sagan_tf.training.optimizer import FusedAdam
from sagan_tf.training.state import State
from sagan_tf.training.step import Alternation

_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


@keras.saving.register_keras_serializable("sagan_tf")
class GAN(keras.Model):
    """A generator and a discriminator that are trained together.

    A step of `fit` is the step of `sagan_tf.train` (`training/step.py`): the discriminator's updates, the
    generator's, and the moving average of the generator's weights. From the same weights, seed and batches
    both give the same weights: bit for bit where both run eagerly, and but for rounding where they are
    compiled, as TensorFlow optimizes their graphs differently. The logs have the losses and the mean logits,
    as means over the epoch.

    `fit` takes a `tf.data.Dataset` of images, or of images and labels, in batches of a known size
    (`drop_remainder=True`): images are uint8 in [0, 255] or float32 in [-1, 1], (n, size, size, 3), labels
    are integers (n,). A batch holds the images of all of a step's `discriminator_steps` updates.

    Under a strategy, make the model inside its scope. `save`, `ModelCheckpoint` and `BackupAndRestore` keep
    everything: both networks, the average, both optimizers and the step; training goes on where it was.

    Args:
      generator, discriminator: networks of the same image size and the same number of classes.
      seed: of z, of the labels of fakes, and of everything else that training draws.

    Attributes:
      ema_generator: the generator with the averaged weights, which `sample` and `predict` use.

    Raises:
      ValueError: the networks do not fit together.

    >>> generator = Generator(image_size=32, channels=2, classes=10, z_dim=8, attention=())
    >>> discriminator = Discriminator(image_size=32, channels=2, classes=10, attention=())
    >>> gan = GAN(generator, discriminator)
    >>> gan.compile()
    >>> gan.sample(classes=[3, 7], n=2).shape
    (2, 32, 32, 3)
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, seed: int = 0, **model_arguments):
        super().__init__(**model_arguments)
        for name in ("image_size", "classes"):
            ours, theirs = getattr(generator, name), getattr(discriminator, name)
            if ours != theirs:
                raise ValueError(f"{name}: the generator has {ours}, the discriminator {theirs}")
        for network in (generator, discriminator):
            if not network.built:
                network.build()
        self.generator, self.discriminator, self.seed = generator, discriminator, seed
        self.ema_generator: Generator = generator.copy(name="ema_generator")
        self._settings: dict = {}
        self._sampler: Model | None = None
        self._loaded_step: int | None = None
        self.built = True

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        loss: str = "hinge",
        *,
        gradient_penalty: str = "none",
        gradient_penalty_weight: float = 10.0,
        auxiliary_weight: float = 1.0,
        orthogonal_regularization: float = 0.0,
        discriminator_steps: int = 1,
        accumulation_steps: int = 1,
        reuse_fakes: bool = True,
        augment: typing.Sequence[str] = (),
        ema_decay: float = 0.999,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool = False,
    ) -> None:
        """Says how to train; the defaults are the paper's.

        Args:
          generator_optimizer, discriminator_optimizer: None: Adam with the paper's rates, 1e-4 and 4e-4,
            beta1 0 and beta2 0.9. Callbacks that change a learning rate change the generator's.
          loss, gradient_penalty, gradient_penalty_weight, auxiliary_weight, orthogonal_regularization,
            discriminator_steps, accumulation_steps, reuse_fakes, augment, ema_decay: the options of
            `sagan_tf.train` with these names. auxiliary_weight counts only where the discriminator has an
            auxiliary classifier.
          run_eagerly, steps_per_execution, jit_compile: as of `keras.Model.compile`. XLA (`jit_compile`)
            draws other random numbers from the same seed.

        Raises:
          ValueError: an unknown loss or penalty, or a number that does not fit.
        """
        _check_choice("loss", loss, LOSSES)
        _check_choice("gradient_penalty", gradient_penalty, ("none", *GRADIENT_PENALTIES))
        for name, value in (
            ("discriminator_steps", discriminator_steps),
            ("accumulation_steps", accumulation_steps),
        ):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        self._settings = {name: value for name, value in locals().items() if name in _SETTINGS}
        super().compile(
            optimizer=generator_optimizer or _adam(1e-4),
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,  # the step does not scale losses
        )
        self.discriminator_optimizer = discriminator_optimizer or _adam(4e-4)
        self._prepare()

    def _prepare(self) -> None:
        """Makes what a step needs: the state, the objective, and a mean for every scalar."""
        settings = self._settings
        # This pass of TensorFlow's graph optimizer is off in the command too: it fuses operations, and so
        # rounds differently.
        tf.config.optimizer.set_experimental_options({"remapping": False})
        with self.distribute_strategy.scope():
            state = State(self.generator, self.discriminator, self.optimizer, self.discriminator_optimizer)
        if previous := self.__dict__.get("_state"):  # compiled again: the training goes on
            state.step, state.restores = previous.step, previous.restores
        elif self._loaded_step is not None:  # with its average
            state.step.assign(self._loaded_step)
        else:
            self.ema_generator.set_weights(self.generator.get_weights())
        state.ema_generator = self.ema_generator
        self._state = state
        classifies = self.discriminator.classifier is not None
        self._objective = Objective(
            LOSSES[settings["loss"]],
            GRADIENT_PENALTIES.get(settings["gradient_penalty"]),
            settings["gradient_penalty_weight"],
            auxiliary_weight=settings["auxiliary_weight"] if classifies else 0.0,
            orthogonal_weight=settings["orthogonal_regularization"],
        )
        with self.distribute_strategy.scope():
            self._means = [keras.metrics.Mean(name=name) for name in self._objective.scalars]
        self._alternations: dict[int, Alternation] = {}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.__dict__.get("_means", ()))

    def train_step(self, data) -> dict[str, tf.Tensor]:
        """One step of the alternation; called by `fit` for every batch."""
        images, labels = self._batch(data)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        scalars = self._alternation(images, replicas)(images, labels)
        context.merge_call(self._finish_step)
        for mean in self._means:
            mean.update_state(scalars[mean.name] * replicas)  # the replicas' shares add up to the mean
        return {mean.name: mean.result() for mean in self._means}

    def _finish_step(self, strategy) -> None:
        del strategy
        self._state.update_ema(self._settings["ema_decay"])
        self._state.step.assign_add(1)

    def _batch(self, data):
        """float32 images in [-1, 1] and int32 labels of what a dataset gave."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        size = self.generator.image_size
        if images.shape.rank != 4 or images.shape[1:] != (size, size, 3):
            raise ValueError(f"images of shape {tuple(images.shape)}: must be (n, {size}, {size}, 3)")
        if images.shape[0] is None:
            raise ValueError("the batch size is unknown: batch the dataset with drop_remainder=True")
        if images.dtype not in (tf.uint8, tf.float32):
            raise ValueError(f"images of type {images.dtype.name}: must be uint8 or float32")
        if labels is not None and (labels.shape.rank != 1 or not labels.dtype.is_integer):
            raise ValueError(
                f"labels of shape {tuple(labels.shape)} and type {labels.dtype.name}: must be integers (n,)"
            )
        if labels is None and self.generator.classes:
            raise ValueError(f"labels are missing: there are {self.generator.classes} classes")
        if labels is None:
            labels = tf.zeros((images.shape[0],), tf.int32)
        images = from_uint8(images) if images.dtype == tf.uint8 else images
        return images, tf.cast(labels, tf.int32)

    def _alternation(self, images, replicas: int) -> Alternation:
        """The step for batches of this size."""
        settings, size = self._settings, images.shape[0]
        steps, parts = settings["discriminator_steps"], settings["accumulation_steps"]
        if size % (steps * parts):
            raise ValueError(
                f"a batch of {size} images: must be a multiple of discriminator_steps * accumulation_steps,"
                f" {steps} * {parts}"
            )
        if size not in self._alternations:
            self._alternations[size] = Alternation(
                self._state,
                self._objective,
                batch_size=size * replicas // steps,
                discriminator_steps=steps,
                reuse_fakes=settings["reuse_fakes"],
                seed=self.seed,
                accumulation_steps=parts,
                augmentations=tuple(settings["augment"]),
            )
        return self._alternations[size]

    def test_step(self, data):
        raise NotImplementedError("a GAN has no loss on a test set: save it, and score samples of it")

    def _symbolic_build(self, *_, **__) -> None:
        """Keras calls it under a strategy, to build by a call on a batch; the networks are built."""

    def call(self, inputs) -> tf.Tensor:
        """Images of the averaged generator, float32 in [-1, 1], of z or of [z, labels]."""
        z, labels = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        return self.ema_generator(z, labels)

    def sample(
        self, classes: Classes = (), n: int = 16, seed: int = 0, truncation: float = 0.0
    ) -> np.ndarray:
        """Images of the averaged generator, uint8 (n, size, size, 3), see `Model.sample`."""
        if self._sampler is None:
            self._sampler = of_network(self.ema_generator)
        return self._sampler.sample(classes, n, seed, truncation)

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)
        store["step"] = np.array(self._state.step.numpy() if self.compiled else self._loaded_step or 0)

    def load_own_variables(self, store) -> None:
        self._loaded_step = int(np.array(store["step"])) if "step" in store.keys() else 0  # noqa: SIM118
        if self.compiled:
            self._state.step.assign(self._loaded_step)

    def get_config(self):
        networks = {name: getattr(self, name) for name in ("generator", "discriminator")}
        networks = {name: keras.saving.serialize_keras_object(value) for name, value in networks.items()}
        return super().get_config() | networks | {"seed": self.seed}

    @classmethod
    def from_config(cls, config):
        networks = {name: config[name] for name in ("generator", "discriminator")}
        networks = {name: keras.saving.deserialize_keras_object(value) for name, value in networks.items()}
        return cls(**config | networks)

    def get_compile_config(self):
        if not self.compiled:
            return None
        optimizers = zip(_OPTIMIZERS, (self.optimizer, self.discriminator_optimizer), strict=True)
        optimizers = {name: keras.saving.serialize_keras_object(value) for name, value in optimizers}
        return self._settings | optimizers

    def compile_from_config(self, config):
        optimizers = {name: keras.saving.deserialize_keras_object(config[name]) for name in _OPTIMIZERS}
        self.compile(**config | optimizers)


_SETTINGS = (
    "loss",
    "gradient_penalty",
    "gradient_penalty_weight",
    "auxiliary_weight",
    "orthogonal_regularization",
    "discriminator_steps",
    "accumulation_steps",
    "reuse_fakes",
    "augment",
    "ema_decay",
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
)


def _adam(learning_rate: float) -> FusedAdam:
    return FusedAdam(learning_rate, beta_1=0.0, beta_2=0.9, epsilon=1e-8)


def _check_choice(name: str, value: str, allowed) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(allowed)}")
