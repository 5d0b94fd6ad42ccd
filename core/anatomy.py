"""The anatomy that is drawn: labels, sides, colours, positions, conventions, and the notice.

Imports nothing of the project.
"""

from typing import Literal

import numpy as np

NOTICE = "Research use only. Not for diagnosis."

BACKGROUND, ANTERIOR, POSTERIOR = 0, 1, 2
LABELS = {"anterior": ANTERIOR, "posterior": POSTERIOR}
# The patient's.
SIDES = ("left", "right")
# Centre of the left hippocampus in the MNI152 template; the right one lies mirrored in x.
LEFT_MM = np.array((-25.7, -22.0, -14.3))

# Used everywhere: Okabe and Ito (2008), safe for colour-blind eyes.
LABEL_COLOURS = {"anterior": "#E69F00", "posterior": "#56B4E9"}
LABEL_RGB = {
    name: (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))
    for name, colour in LABEL_COLOURS.items()
}

# Letters in a colour that stands out on black, grey and white.
LETTER_RGB = (219, 26, 158)

Convention = Literal["radiological", "neurological"]
CONVENTION_WORDS = {
    "radiological": "Radiological: the patient's right is on the left of the picture",
    "neurological": "Neurological: the patient's left is on the left of the picture",
}
