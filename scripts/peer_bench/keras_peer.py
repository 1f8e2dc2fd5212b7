"""Keras 3 on TensorFlow, each step one compiled graph (`tf.function`), which is faster than `predict` and `fit`."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from . import workloads  # noqa: E402


class Peer:
    """A model per workload on the CPU."""

    modes = ("infer", "train")

    def __init__(self, options):
        self.threads = options.threads
        if options.threads:
            tf.config.threading.set_intra_op_parallelism_threads(options.threads)
            tf.config.threading.set_inter_op_parallelism_threads(options.threads)

    def describe(self):
        return f"Keras {keras.__version__} on TensorFlow {tf.__version__}, {self.threads or 'default'} threads"

    def model(self, w, stateful=False):
        layer = getattr(keras.layers, w.cell)
        layers = [
            keras.Input(batch_shape=(w.batch, w.time, w.inputs)),
            layer(w.units, return_sequences=w.output == "sequence", stateful=stateful or w.output == "state"),
        ]
        if w.dense:
            layers.append(keras.layers.Dense(w.dense))
        model = keras.Sequential(layers)
        model.set_weights(workloads.weights(w))
        return model

    def infer(self, w):
        model = self.model(w)

        @tf.function
        def call(x):
            y = model(x, training=False)
            return tf.nn.softmax(y) if w.softmax else y

        x = tf.constant(workloads.inputs(w))
        return lambda: call(x).numpy()

    def trainer(self, w, stateful=False):
        model = self.model(w, stateful)
        adam = keras.optimizers.Adam()
        adam.build(model.trainable_variables)
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if w.softmax else keras.losses.MeanSquaredError()

        @tf.function
        def step(x, target):
            with tf.GradientTape() as tape:
                loss = loss_of(target, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            adam.apply_gradients(zip(gradients, model.trainable_variables))
            return loss

        return model, step

    def train(self, w):
        _, step = self.trainer(w)
        x, target = tf.constant(workloads.inputs(w)), tf.constant(workloads.targets(w))
        return lambda: step(x, target).numpy()

    def airline(self, w):
        """The training loop and one epoch of it."""
        model, step = self.trainer(w, stateful=True)
        xs, ys = ([tf.constant(row) for row in a] for a in workloads.airline())

        def epoch():
            for x, y in zip(xs, ys):
                step(x, y)
            model.layers[0].reset_state()

        return lambda: [epoch() for _ in range(workloads.AIRLINE_EPOCHS)], epoch
