import pytest

from service.errors import ProblemType
from service.limits import MAX_RETRY_S, Admission
from tests.refusals import refused


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def serve_one(admission: Admission, clock: Clock, seconds: float, images: int = 1) -> None:
    with admission.admit(images):
        clock.now += seconds


def test_before_anything_was_measured_a_second_is_asked_for(clock: Clock) -> None:
    assert Admission(4, clock).retry_after_s() == 1


def test_the_time_to_wait_follows_from_the_measured_rate(clock: Clock) -> None:
    admission = Admission(10, clock)
    for _ in range(5):
        serve_one(admission, clock, 2.0)

    with admission.admit(10), refused(ProblemType.QUEUE_FULL) as caught:
        admission.check()

    assert caught.value.retry_after_s == 20


def test_images_at_once_make_the_service_faster(clock: Clock) -> None:
    admission = Admission(10, clock)
    for _ in range(5):
        serve_one(admission, clock, 2.0, images=4)

    with admission.admit(10):
        assert admission.retry_after_s() == 5


def test_idle_time_does_not_count(clock: Clock) -> None:
    admission = Admission(10, clock)
    for _ in range(5):
        serve_one(admission, clock, 2.0)
        clock.now += 1000

    with admission.admit(1):
        assert admission.retry_after_s() == 2


def test_a_request_that_was_dropped_says_nothing_of_the_rate(clock: Clock) -> None:
    admission = Admission(10, clock)
    serve_one(admission, clock, 4.0)

    with pytest.raises(KeyError), admission.admit(1):
        raise KeyError

    with admission.admit(1):
        assert admission.retry_after_s() == 4


def test_a_new_rate_is_learnt_slowly(clock: Clock) -> None:
    admission = Admission(10, clock)
    serve_one(admission, clock, 10.0)

    serve_one(admission, clock, 0.0)

    with admission.admit(1):
        assert admission.retry_after_s() == 9


@pytest.mark.parametrize(("seconds", "told"), [(0.0001, 1), (10_000, MAX_RETRY_S)])
def test_the_time_to_wait_stays_sensible(clock: Clock, seconds: float, told: int) -> None:
    admission = Admission(10, clock)
    serve_one(admission, clock, seconds)

    with admission.admit(1):
        assert admission.retry_after_s() == told
