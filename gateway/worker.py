"""Threads that repeat one small step until they are told to stop, some of them on a queue."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.config import Config
from gateway.errors import InvalidConfiguration, Permanent, Transient, Unacceptable
from gateway.metrics import RETRIES
from gateway.store import Store
from gateway.tables import Delivery, Job

REST_S = 0.5
_AFTER_FAILURE_S = 1.0

log = structlog.get_logger()


class Worker(ABC, threading.Thread):
    """Takes steps until it is told to stop, and rests where there is none to take."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.wake = threading.Event()
        self._is_closing = False

    @abstractmethod
    def step(self) -> bool:
        """Do a little of the work; whether there was any."""

    def close(self) -> None:
        """Finish the step at hand, and stop."""
        self._is_closing = True
        self.wake.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Take steps."""
        while not self._is_closing:
            try:
                moved = self.step()
            except Exception as error:
                # Mostly the database or the disk is away. What was to be done is still queued.
                if isinstance(error, SQLAlchemyError | OSError):
                    log.warning("cannot work", worker=self.name, error=type(error).__name__)
                else:
                    log.exception("unforeseen", worker=self.name)
                time.sleep(_AFTER_FAILURE_S)
                continue
            if not moved:
                self.wake.wait(REST_S)
                self.wake.clear()


class TaskWorker(Worker):
    """Tries what is queued, until it is done or no repetition will help."""

    def __init__(self, name: str, config: Config, store: Store) -> None:
        super().__init__(name)
        self._config = config
        self._store = store

    def attempt(self, task: Job | Delivery, action: Callable[[], None]) -> bool:
        """Do it; else put it off, or park it. Whether another may be tried at once."""
        queue = task.__tablename__
        try:
            action()
        except SQLAlchemyError as error:  # what was tried cannot be counted either
            log.warning("cannot work", queue=queue, id=task.id, error=type(error).__name__)
            return False
        except Exception as error:
            problem = _problem(error, self._config)
            if isinstance(problem, Transient) and not self._is_given_up(task, problem):
                RETRIES.labels(queue).inc()
                self._store.postpone(task, time.time() + self._wait_s(task, problem), str(problem))
                return False
            log.warning("parked", queue=queue, id=task.id, problem=str(problem), exc_info=True)
            self._store.park(task, str(problem))
        return True

    def _is_given_up(self, task: Job | Delivery, problem: Transient) -> bool:
        since = task.first_try_at or time.time()
        is_old = time.time() - since > self._config.give_up_after_h * 3600
        return is_old or (problem.attempts is not None and task.attempts + 1 >= problem.attempts)

    def _wait_s(self, task: Job | Delivery, problem: Transient) -> float:
        """Twice as long each time, or what the peer asks for, up to a limit; never in step."""
        longest: float = min(self._config.max_backoff_s, 2.0 ** min(task.attempts, 30))
        wait_s: float = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        asked_s = min(problem.retry_after_s or 0, self._config.max_backoff_s)
        return max(wait_s, asked_s)


def _problem(error: Exception, config: Config) -> Transient | Permanent:
    """What an error means for the task that it ended."""
    match error:
        case Transient() | Permanent():
            return error
        case Unacceptable():
            return Permanent(str(error))
        case FileNotFoundError(filename=str(name)) if Path(name).is_relative_to(config.state_dir):
            return Permanent("Its file is no longer in the state folder.")
        case OSError() | InvalidConfiguration():
            return Transient(f"cannot work: {type(error).__name__}")
        case _:  # one object that nobody foresaw must not stop the others
            return Permanent(f"unforeseen: {type(error).__name__}")
