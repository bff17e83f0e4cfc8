"""Improved precision and recall."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class PrecisionRecall(Metric):
    """Shares of generated images in the real manifold, and of real ones in the generated. TF-GAN has none."""

    name = "precision_recall"
    titles_of = {"precision": ("precision", "precision"), "recall": ("recall", "recall")}
    larger_is_better = True
    about = "improved precision and recall, k = 3"
    source = "Kynkäänniemi et al. 2019"
    needs = (Need.REFERENCE, Need.REFERENCE_FEATURES)
    minimum = 4
    must_see = {"precision": ("noise 60",), "recall": ("collapsed",)}

    def gatherer(self):
        """All features."""
        from sagan_tf.metrics.statistics import AllFeatures

        return AllFeatures

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics.precision_recall import precision_recall

        precision, recall = precision_recall(measurement.real_features, gathered.rows())
        note = measurement.real_note()
        return [Score("precision", precision, note=note), Score("recall", recall, note=note)]
