from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch
from training.datasets.sars_cov_2_ct import SarsCov2CtAdapter
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "sarscov2-ctscan-dataset"
    touch(home, "COVID/Covid (1).png", "COVID/Covid (2).png", "non-COVID/Non-Covid (1).png")
    return home


def test_every_slice_has_its_label_and_its_number(home: Path) -> None:
    table = SarsCov2CtAdapter().read(home.parent, "train").table

    assert table["label"].tolist() == ["covid-19", "covid-19", "other"]
    assert by_path(table, "patient") == {
        "COVID/Covid (1).png": "COVID/Covid 1",
        "COVID/Covid (2).png": "COVID/Covid 2",
        "non-COVID/Non-Covid (1).png": "non-COVID/Non-Covid 1",
    }
    assert SarsCov2CtAdapter().read(home, "test").table.empty


def test_a_missing_an_unknown_and_an_empty_class_are_named(home: Path) -> None:
    touch(home, "CAP/1.png")
    with pytest.raises(UnknownLabel, match="class CAP"):
        SarsCov2CtAdapter().read(home, "train")

    (home / "CAP" / "1.png").unlink()
    (home / "CAP").rmdir()
    (home / "non-COVID" / "Non-Covid (1).png").unlink()
    with pytest.raises(EmptyClass, match="non-COVID holds no image"):
        SarsCov2CtAdapter().read(home, "train")

    (home / "non-COVID").rmdir()
    with pytest.raises(LayoutMismatch, match="Found COVID in"):
        SarsCov2CtAdapter().read(home, "train")


@pytest.mark.data
def test_the_real_files_are_all_read(data_dir: Path) -> None:
    table = SarsCov2CtAdapter().read(data_dir, "train").table

    assert table["label"].value_counts().to_dict() == {"covid-19": 62, "other": 62}
