"""Kernel Inception distance."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class KernelInceptionDistance(Metric):
    """Unbiased squared MMD between real and generated features, with a cubic kernel, by TF-GAN."""

    name = "kid"
    titles_of = {"kid": ("kid", "kernel_distance")}
    larger_is_better = False
    about = "kernel distance, unbiased, mean and standard error over blocks"
    source = "Bińkowski et al. 2018"
    needs = (Need.REFERENCE, Need.REFERENCE_FEATURES)
    settings = ("library",)
    minimum = 20
    must_see = {"kid": ("blur 1", "noise 30", ("blur 1", "blur 2"), ("noise 30", "noise 60"), "collapsed")}

    def gatherer(self):
        """All features."""
        from sagan_tf.metrics.statistics import AllFeatures

        return AllFeatures

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics.kernel_distance import kernel_distance

        value, error = kernel_distance(measurement.real_features, gathered.rows(), measurement.seed)
        return [Score("kid", value, error, "standard error", measurement.real_note())]
