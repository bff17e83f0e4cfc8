"""Agreement of a classifier with the classes that were asked for."""

from sagan_tf.metrics.metric import Metric, Need, Score, register


@register
class LabelAgreement(Metric):
    """Share of generated images that a classifier gives the class that was asked for. TF-GAN has none."""

    name = "agreement"
    titles_of = {"agreement": ("agreement", "agreement")}
    larger_is_better = True
    about = "share of images that the classifier gives the class that was asked for"
    source = ""
    needs = (Need.LABELS, Need.CLASSIFIER)
    must_see = {"agreement": ("noise 60", "blur 2", "labels shuffled")}

    def gatherer(self):
        """Two counts."""
        from sagan_tf.metrics.label_agreement import Agreement

        return Agreement

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        share, error = gathered.result()
        return [Score("agreement", share, error, "standard error")]
