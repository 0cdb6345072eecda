from service.settings import Settings
from service.workers import share_of


def test_the_cpus_are_shared_out_and_none_goes_without() -> None:
    settings = Settings(workers=3, provider="cpu")

    shares = [share_of(settings, number, cpus=8) for number in range(3)]

    assert [share.decode_workers for share in shares] == [3, 3, 2]
    assert [share.inference_workers for share in shares] == [3, 3, 2]
    assert share_of(settings, 2, cpus=1).decode_workers == 1


def test_threads_that_are_set_are_those_of_each_worker() -> None:
    settings = Settings(workers=2, provider="cpu", decode_workers=5)

    share = share_of(settings, 0, cpus=8)

    assert (share.decode_workers, share.inference_workers) == (5, 4)


def test_each_gpu_belongs_to_one_worker() -> None:
    settings = Settings(workers=2, provider="cuda", gpu_devices=(0, 1, 5))

    shares = [share_of(settings, number, cpus=8) for number in range(2)]

    assert [share.gpu_devices for share in shares] == [(0, 5), (1,)]
