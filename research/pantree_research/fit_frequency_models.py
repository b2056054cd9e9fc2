"""Fits the models of the frequency service and writes the bundled files.

`make quality` judges the same recipe on households it has not seen; this fits it on all that are not reserved for the
examination. See `services/frequency/pantree_frequency/models/default/MODEL_CARD.md`.

    python -m pantree_research.fit_frequency_models
"""

from pantree_fitting.frequency import models as fitting
from pantree_frequency.backends import model_files
from pantree_research.quality.__main__ import levels_of
from pantree_research.quality.households import FITTING_END, load_receipt_lines


def main() -> None:
    """Fits and writes."""
    fitted = fitting.fit(levels_of(load_receipt_lines()), FITTING_END, fitting.Plan(), name="complete-journey")
    model_files.save(fitted, model_files.BUNDLED)
    print(f"wrote {fitted.manifest.version} to {model_files.BUNDLED}")


if __name__ == "__main__":
    main()
