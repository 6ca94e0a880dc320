# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.synthetic.paint import blur
from monai_ept.synthetic.volume import render_volume


def test_volume_classes_differ_in_shape_not_in_brightness():
    """A ball in a thin-limbed gland is seen by opening (thin things vanish), not by mean intensity."""
    from scipy.ndimage import grey_opening
    from sklearn.metrics import roc_auc_score

    labels, means, balls = [], [], []
    for label, name in enumerate(("normal", "mass")):
        for gland in range(60):
            volume = render_volume(name, seed=1, gland=gland, scan=0, img_size=28).astype(np.float32)
            opened = grey_opening(blur(volume, 2, 3), size=(5, 5, 5))[6:22, 7:24, 5:23]
            labels.append(label)
            means.append(volume.mean())
            balls.append(np.percentile(opened, 97))
    brightness, shape = roc_auc_score(labels, means), roc_auc_score(labels, balls)
    assert abs(brightness - 0.5) < 0.2
    assert shape > 0.8, shape
