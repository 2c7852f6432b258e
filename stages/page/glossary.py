"""Words of the page, apart from the measures, whose rows explain them."""

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, str]] = {
    "IoU": "Intersection over union of a mask with the ground truth: 1 is perfect.",
    "prompt": "A click on the object. One is near its centre, seven are drawn at random.",
    "proposal": "One of the three masks that a model offers for a prompt.",
    "SamScore": "The IoU that SAM2 itself predicts for a proposal.",
    "best": "The proposal with the highest IoU. Only the ground truth reveals which it is.",
    "selected": "The proposal with the highest SamScore: what a user gets.",
    "refined": "The best, or the selected, proposal from all eight clicks together.",
    "judged mask": "The mask that a correction replaces: the best proposal or the selected one.",
    "view": "The image as it is (identity), flipped, compressed, blurred or with noise.",
    "model": "One of the four sizes of SAM2: tiny, small, base plus, large.",
    "family": "The release that the four models come from: mini, sam2 or sam2.1.",
    "entropy": "Uncertainty of a soft mask in bits, weighted by its foreground (Eq. 3).",
    "head": "A small network that predicts an IoU, or a gap of two, from SAM2's tokens; heads "
    "“ours” read figures of the masks, too.",
    "token": "An output vector of SAM2's decoder: one for the IoU, one for each mask.",
    "oracle, worst": "The orders by true gain, falling and rising: all others lie between.",
    "AUC": "Area under the mean IoU as objects are corrected, most uncertain first.",
    "relative AUC": "(AUC − worst) / (oracle − worst): 100 is perfect, 50 a random order.",
    "margin": "Relative AUC minus that of 1 − SamScore of the same masks, in percentage points.",
    "risk": "1 − IoU of a mask: how far it falls short of a perfect one.",
    "AURC, AUGRC": "Area under the risk of the kept masks by their share: mean or summed risk.",
    "failure": "A mask whose IoU is below a threshold.",
    "ECE": "Mean distance between predicted and true IoU, in bins of equal mass.",
    "promise": "What a threshold on a measure guarantees about the masks that it keeps.",
    "interval": "Range of the middle 95 % of resamples of the images, or videos.",
}
"""What each word means, in a line; equations are the paper's."""
