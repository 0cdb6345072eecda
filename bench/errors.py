"""What can go wrong in a benchmark.

BenchError
├── NotLoopback        the load generator was pointed at another host
├── LoadFailed         a load generator ended without a result
├── ServerFailed       a server did not start, or went away
├── WrongAnswers       a server's probabilities are not those of the model
├── NoModelUnderTest   there is no bundle to measure with
└── UnknownTarget      something is to be measured that there is not
"""


class BenchError(Exception):
    """Any error of the benchmark."""


class NotLoopback(BenchError):
    """The load generator was pointed at another host than this one."""


class LoadFailed(BenchError):
    """A load generator ended without a result."""


class ServerFailed(BenchError):
    """A server did not start, or went away."""


class WrongAnswers(BenchError):
    """A server's probabilities are not those of the model."""


class NoModelUnderTest(BenchError):
    """There is no bundle to measure with."""


class UnknownTarget(BenchError):
    """Something is to be measured that there is not."""
