"""Intra-FID: the Frechet distance within each class."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class IntraFrechetInceptionDistance(Metric):
    """Mean over classes of the Frechet distance within the class. TF-GAN takes hours for 1,000 classes."""

    name = "intra_fid"
    titles_of = {"intra_fid": ("intra_fid", "intra_frechet_distance")}
    larger_is_better = False
    about = "Fréchet distance within each class: mean over classes, and a CSV with every class"
    source = "Miyato and Koyama 2018"
    needs = (Need.LABELS, Need.REFERENCE, Need.REFERENCE_FEATURES)
    must_see = {"intra_fid": ("blur 1", "noise 30", ("noise 30", "noise 60"), "collapsed", "labels shuffled")}

    def describe_minimum(self) -> str:
        """For README's table."""
        return f"{self.minimum} images of every class"

    def check(self, measurement) -> None:
        """See `Metric.check`."""
        super().check(measurement)
        self._check_classes(measurement.labels, measurement.class_names, "generated images")
        self._check_classes(measurement.reference.labels, measurement.class_names, "real images")

    def _check_classes(self, labels, class_names, what: str) -> None:
        import numpy as np

        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        if counts.min() < self.minimum:
            few = class_names[int(counts.argmin())]
            raise self.error(
                f"needs at least {self.minimum} images of every class;"
                f" of {few!r} there are {counts.min()} {what}"
            )

    def gatherer(self):
        """Mean and covariance of each class."""
        from sagan_tf.metrics.statistics import ClassMoments

        return ClassMoments

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        import numpy as np

        from sagan_tf.metrics.frechet import class_distances

        classes = tuple(class_distances(measurement.reference.class_features, gathered.gaussians()))
        values = np.array([entry.value for entry in classes])
        fewest = min(entry.generated_samples for entry in classes)
        note = f"mean over {len(classes)} classes of at least {fewest} generated images"
        spread_of = "standard deviation over classes"
        return [Score("intra_fid", float(values.mean()), float(values.std()), spread_of, note, classes)]
