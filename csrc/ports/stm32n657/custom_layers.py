"""The custom layers as Keras classes, for a Keras model of the captioner that ST Edge AI compiles for the Cortex-M55.

Each class computes in float what the layer is, so that the tool and Keras can run the model; on the chip layers.c takes
its place. The weight `told` is for that file: which record of the blob the layer is, and the scales of its tensors, one
row of layers.json.
"""

import keras
from keras import ops


class _Told(keras.layers.Layer):
    """A layer whose first weight tells its C twin what it is.

    Parameters
    ----------
    numbers : how many `told` has: 3 for a layer with one input, 11 for the scan.
    """

    inputs = 1

    def build(self, shape):
        """The weights; `told` comes first."""
        self.told = self.add_weight(name="told", shape=(3 + 2 * self.inputs,), trainable=False)
        self.weigh(shape if self.inputs == 1 else shape[0])
        self.built = True


class LayerNorm(_Told):
    """LayerNorm of one vector: (B, H) -> (B, H)."""

    epsilon = 1e-5

    def weigh(self, shape):
        """gamma and beta, (H,)."""
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],))
        self.beta = self.add_weight(name="beta", shape=(shape[-1],))

    def call(self, x):
        """Mean 0 and variance 1 over the vector, then gamma and beta."""
        rest = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(rest * rest, axis=-1, keepdims=True)
        return rest / ops.sqrt(variance + self.epsilon) * self.gamma + self.beta


class GRN(_Told):
    """Global Response Normalization: (B, H, W, C) -> (B, H, W, C)."""

    epsilon = 1e-6

    def weigh(self, shape):
        """gamma and beta, (C,)."""
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],))
        self.beta = self.add_weight(name="beta", shape=(shape[-1],))

    def call(self, x):
        """Every channel times its share of the norms, beside x itself."""
        strength = ops.sqrt(ops.sum(x * x, axis=(1, 2), keepdims=True))
        share = strength / (ops.mean(strength, axis=-1, keepdims=True) + self.epsilon)
        return self.gamma * (x * share) + self.beta + x


class SelectiveScan(_Told):
    """One step of the selective SSM: dt and u (B, D), b and c (B, N) -> y (B, D). The state is a weight."""

    inputs = 4

    def weigh(self, shape):
        """A = -exp(A_log) and D; the state h, which starts with zeros."""
        channels, states = shape[-1], self.states
        self.A_log = self.add_weight(name="A_log", shape=(channels, states))
        self.D = self.add_weight(name="D", shape=(channels,))
        self.h = self.add_weight(name="h", shape=(channels, states), initializer="zeros", trainable=False)

    def __init__(self, states=16, **options):
        super().__init__(**options)
        self.states = states

    def get_config(self):
        """What __init__ takes."""
        return {**super().get_config(), "states": self.states}

    def call(self, inputs):
        """h = exp(delta A) h + delta u b, y = h c + D u; for a batch of one."""
        dt, u, b, c = inputs
        delta = ops.softplus(dt)[0][:, None]  # (D, 1)
        h = ops.exp(-delta * ops.exp(self.A_log)) * self.h + delta * u[0][:, None] * b[0][None]  # (D, N)
        self.h.assign(h)
        return (ops.sum(h * c[0][None], axis=-1) + self.D * u[0])[None]  # (1, D)
