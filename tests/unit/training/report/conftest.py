from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.preprocessing import PreprocessingSpec
from tests.unit.training.report.planted import (
    FINDINGS,
    IMAGES,
    SIDE,
    ContextOf,
    every_eighth_pixel,
    looking_at,
    planted,
)
from training.lungs import Segment
from training.predictions import Predictions
from training.report.context import EvaluationContext, Images


@pytest.fixture(scope="session")
def context_of() -> ContextOf:
    """Make a context in which the sign lies in one place and the model looks at another."""

    def make(
        sign: str,
        looks_at: str,
        *,
        sources: NDArray[np.str_] | None = None,
        features: Callable[[Images], NDArray[np.float32]] | None = None,
        segment: Segment | None = None,
    ) -> EvaluationContext:
        images, classes = planted(sign)
        predict = looking_at(looks_at)
        outputs = predict(images)
        names = np.array([f"patient-{number}" for number in range(IMAGES)])
        return EvaluationContext(
            images=images,
            predictions=Predictions(
                logits=outputs["logits"],
                probabilities=outputs["probabilities"],
                classes=classes,
                patients=names,
                sources=np.repeat("one", IMAGES) if sources is None else sources,
            ),
            groups=names,
            paths=np.array([f"{name}.png" for name in names]),
            findings=FINDINGS,
            positive="pneumonia",
            dataset="planted",
            seed=0,
            predict=predict,
            features=features or every_eighth_pixel,
            segment=segment,
            spec=PreprocessingSpec(height=SIDE, width=SIDE),
        )

    return make
