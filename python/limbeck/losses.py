"""Losses: computed in float32 whatever they are given, one stated reduction (the mean over the batch)."""

from limbeck._extension import core as _core


def cross_entropy(logits, labels, label_smoothing=0.0):
    """Cross-entropy of logits [B, C] against class indices [B] (int64) or soft targets [B, C], a scalar.

    A label of -100 counts nothing, as in PyTorch. `label_smoothing` is that of Szegedy et al. 2016 (arXiv:1512.00567,
    section 7). ValueError if shapes or dtypes do not fit, and on the CPU for a label that is no class.
    """
    return _core.cross_entropy(logits, labels, label_smoothing)


def kd(student, teacher, labels=None, temperature=_core.KD_TEMPERATURE, alpha=_core.KD_ALPHA, label_smoothing=0.0):
    """Knowledge distillation: alpha · T² · KL(softmax(t/T) ‖ softmax(s/T)) + (1 - alpha) · cross-entropy, a scalar.

    Hinton et al. 2015 (arXiv:1503.02531). student, teacher: logits [B, C]; labels: [B], int64, or targets [B, C], or
    None with alpha=1. The teacher gets no gradient. ValueError if shapes differ, a label is no class or an option is out
    of range.
    """
    return _core.kd(student, teacher, labels, temperature, alpha, label_smoothing)


def feature_mse(student, teacher):
    """Mean squared error between features of one shape, over all elements, a scalar (arXiv:1412.6550).

    The teacher gets no gradient. ValueError if the shapes differ.
    """
    return _core.feature_mse(student, teacher)
