"""Several processes, on one host or many, that train one run: who they are, how they meet, who was lost."""

from sagan_tf.cluster.environment import Cluster, find
from sagan_tf.cluster.meeting import LostWorkerError, Meeting, meet

__all__ = ["Cluster", "LostWorkerError", "Meeting", "find", "meet"]
