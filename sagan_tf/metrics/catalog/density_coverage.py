"""Density and coverage."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class DensityCoverage(Metric):
    """In how many real balls an image lies, and the share of balls that hold one. TF-GAN has neither."""

    name = "density_coverage"
    titles_of = {"density": ("density", "density"), "coverage": ("coverage", "coverage")}
    larger_is_better = True
    about = "density and coverage, k = 5, balls without their edge as in the authors' code"
    source = "Naeem et al. 2020"
    needs = (Need.REFERENCE, Need.REFERENCE_FEATURES)
    minimum = 6
    must_see = {"density": ("noise 60",), "coverage": ("blur 2", "noise 60", "collapsed")}

    def gatherer(self):
        """All features."""
        from sagan_tf.metrics.statistics import AllFeatures

        return AllFeatures

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics.density_coverage import density_coverage

        density, coverage = density_coverage(measurement.real_features, gathered.rows())
        note = measurement.real_note()
        return [Score("density", density, note=note), Score("coverage", coverage, note=note)]
