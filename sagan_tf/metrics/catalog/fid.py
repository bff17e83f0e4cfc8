"""Frechet Inception distance."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class FrechetInceptionDistance(Metric):
    """Frechet distance between Gaussians with the moments of real and of generated features, by TF-GAN."""

    name = "fid"
    titles_of = {"fid": ("fid", "frechet_distance")}
    larger_is_better = False
    about = "Fréchet distance to the real images; marked as biased with no more images than features"
    source = "Heusel et al. 2017"
    needs = (Need.REFERENCE,)
    settings = ("library",)
    must_see = {"fid": ("blur 1", "noise 30", ("blur 1", "blur 2"), ("noise 30", "noise 60"), "collapsed")}

    def gatherer(self):
        """Mean and covariance."""
        from sagan_tf.metrics.statistics import AllMoments

        return AllMoments

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics import frechet

        generated, real = gathered.gaussian(), measurement.reference.gaussian()
        few = min(generated.count, real.count) <= len(generated.mean)
        note = "no more images than features: biased upwards" if few else ""
        unit = 1.0 if measurement.network.is_inception else frechet.typical_size(real)
        return [Score("fid", frechet.tfgan_distance(real, generated, unit), note=note)]
