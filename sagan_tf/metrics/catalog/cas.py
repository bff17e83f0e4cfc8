"""Classification accuracy score."""

import math

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class ClassificationAccuracyScore(Metric):
    """Accuracy on real images of a classifier that learnt from the generated ones. TF-GAN has none."""

    name = "cas"
    titles_of = {"cas": ("cas", "cas")}
    larger_is_better = True
    about = "accuracy on real test images of a classifier that learnt from the generated ones"
    source = "Ravuri and Vinyals 2019"
    needs = (Need.LABELS, Need.REAL_TEST)
    settings = ("real_test", "real_test_digest")
    must_see = {"cas": ("noise 60", "collapsed", "labels shuffled")}

    def gatherer(self):
        """The images themselves."""
        from sagan_tf.metrics.classification_accuracy import TrainingImages

        return TrainingImages

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics import classification_accuracy

        test = measurement.real_test
        share, count = classification_accuracy.classification_accuracy(
            gathered,
            test.batches(),
            len(measurement.class_names),
            epochs=test.epochs,
            seed=measurement.seed,
            report=measurement.report,
        )
        error = math.sqrt(share * (1 - share) / count)
        note = f"of {count:,} real images ({test.description})"
        return [Score("cas", share, error, "standard error", note)]
