"""Which values to try next: Keras Tuner's Bayesian optimisation, which survives being killed."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from training.atomic import write_text
from training.errors import WorkdirIncomplete

OBJECTIVE = "validation_auroc"
WORKER = "here"
# After so large a part of the trials at random there is something to learn from.
RANDOM_SHARE = 1 / 3
LEAST_RANDOM = 4


class TrialOracle(BayesianOptimizationOracle):
    """Proposes trials, and remembers them in one file that is always whole.

    Keras Tuner itself writes several files, none of them atomically, and runs the last finished
    trial again after a restart. The first trial is the recipe as it is.

    Args:
        file: Where everything is kept.
        space: What to choose from.
        trials: How many trials there may be, those of earlier runs included.
        seed: Of every choice.
    """

    def __init__(self, file: Path, space: HyperParameters, trials: int, seed: int) -> None:
        super().__init__(
            objective=Objective(OBJECTIVE, "max"),
            max_trials=trials,
            num_initial_points=max(LEAST_RANDOM, round(RANDOM_SHARE * trials)),
            # Keras Tuner takes 0 for no seed at all.
            seed=seed + 1,
            hyperparameters=space,
            allow_new_entries=False,
            # A diverged trial says something about its values, and the search goes on.
            max_consecutive_failed_trials=trials + 1,
        )
        self.verbose = 0
        self._file = file
        if file.exists():
            self.reload()

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials with a result, in the order in which they were begun."""
        return tuple(t for t in self.trials.values() if t.status == TrialStatus.COMPLETED)

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest validation AUROC; of equals, the first."""
        return max(self.finished, key=lambda trial: trial.score, default=None)

    def next_trial(self) -> Trial | None:
        """The trial that was interrupted, or a new one; None where there may be no more.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        # The surrogate's matrices are so small that threads would only wait for each other.
        with _without_chatter(), threadpool_limits(1):
            trial = self.create_trial(WORKER)
        return trial if trial.status == TrialStatus.RUNNING else None

    def end(self, trial: Trial, auroc: float) -> None:
        """Remember what came of a trial.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        with _without_chatter():
            self.update_trial(trial.trial_id, {OBJECTIVE: auroc})
            trial.status = TrialStatus.COMPLETED
            self.end_trial(trial)

    def fail(self, trial: Trial, reason: str) -> None:
        """Remember that nothing can come of a trial.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        trial.status, trial.message = TrialStatus.FAILED, reason
        with _without_chatter():
            self.end_trial(trial)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of a trial; called by Keras Tuner."""
        if not self.trials:
            defaults = {one.name: one.default for one in self.hyperparameters.space}
            return {"status": TrialStatus.RUNNING, "values": defaults}
        chosen = super().populate_space(trial_id)
        # Among so few values the optimum may have been tried: something new tells more.
        known = chosen["values"] is not None and self._duplicate(chosen["values"])
        return self._random_populate_space() if known else chosen

    def save(self) -> None:
        """Write everything; called by Keras Tuner whenever something has changed.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        trials = {name: trial.get_state() for name, trial in self.trials.items()}
        content = {"oracle": self.get_state(), "trials": trials}
        write_text(self._file, json.dumps(content, indent=2) + "\n")

    def reload(self) -> None:
        """Read everything, and put trials without a result back in the queue.

        Raises:
            WorkdirIncomplete: The file cannot be read.
        """
        try:
            content = json.loads(self._file.read_bytes())
            self.trials = {
                name: Trial.from_state(state) for name, state in content["trials"].items()
            }
            self.set_state({**content["oracle"], "ongoing_trials": {}})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkdirIncomplete(
                f"{self._file} cannot be used: {error!r}. Remove it to start the search again."
            ) from error
        running = [t.trial_id for t in self.trials.values() if t.status == TrialStatus.RUNNING]
        self._retry_queue = running

    def _save_trial(self, trial: Trial) -> None:
        """Nothing: ``save`` keeps the trials too."""


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Silence Keras Tuner's old threading calls, and a surrogate that could fit better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
