"""Inception score."""

from sagan_tf.metrics.metric import Metric, Score, register

_FEW = 5000  # images in a split, below which the score is clearly biased


@register
class InceptionScore(Metric):
    """Mean over random splits of exp(mean KL(p(y|x) || p(y))), by TF-GAN."""

    name = "is"
    titles_of = {"is": ("inception_score", "classifier_score")}
    larger_is_better = True
    about = "Inception score, mean and standard deviation over `--splits` random parts"
    source = "Salimans et al. 2016"
    minimum = 1
    settings = ("splits", "library")
    must_see = {"is": ("noise 30", "noise 60", "blur 2")}

    def describe_minimum(self) -> str:
        """For README's table."""
        return "1 image a part"

    def check_images(self, count: int, splits: int) -> None:
        """See `Metric.check_images`."""
        self.check_count(count, "images", splits)

    def gatherer(self):
        """All logits."""
        from sagan_tf.metrics.statistics import AllLogits

        return AllLogits

    def compute(self, measurement, gathered) -> list[Score]:
        """See `Metric.compute`."""
        from sagan_tf.metrics.inception_score import split_scores

        scores = split_scores(gathered.rows(), measurement.splits, measurement.seed)
        few = measurement.count < _FEW * len(scores)
        note = f"splits of under {_FEW:,} images: biased downwards" if few else ""
        spread_of = f"standard deviation over {len(scores)} splits"
        return [Score("is", float(scores.mean()), float(scores.std()), spread_of, note)]
