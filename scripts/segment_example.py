"""Segment the example: python scripts/segment_example.py

The way of a scan from the file to the measures, without server, database or storage, which need
Linux. CI runs it on macOS and Windows.
"""

import io
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.image.example import example_file
from core.models.folder import opened
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings


def main() -> int:
    """Print the volumes; 0 if both labels are there."""
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            analysis = analyse(io.BytesIO(example_file()), predictors.on("auto"), Path(folder))
        volumes = [
            part.volume_mm3 for part in (analysis.measures.anterior, analysis.measures.posterior)
        ]
        print("anterior {:.0f} mm3, posterior {:.0f} mm3".format(*volumes))
    finally:
        predictors.close()
    return 0 if min(volumes) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
