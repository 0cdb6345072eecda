import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from tests.training_data import write_kermany
from training.config import DataConfig
from training.errors import RecipeError
from training.source import read_pool, tell_dropped

HEADER = "path,sha256,modality,label,source,patient_id,group,split,note,licence"
ROWS = [
    "a/1.png,,xray,covid19,north,,g1,train,,CC BY 4.0",
    "a/2.png,,xray,normal,north,p2,g2,val,,CC BY 4.0",
    "a/3.png,,xray,normal,south,p3,,test,,CC0",
    "a/4.png,,xray,lateral,south,,,train,,CC0",
    "a/masks/1.png,,xray-mask,lung-mask,hand,,,,,CC0",
    "scan.dcm,,ct,noncovid,east,,g5,train,,proprietary",
]


def config(*sources: Mapping[str, object], **values: object) -> DataConfig:
    return DataConfig.model_validate(
        {"sources": sources, "classes": ["normal", "covid-19"], **values}
    )


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    for row in ROWS:
        path = tmp_path / row.partition(",")[0]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (tmp_path / "manifest.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return tmp_path


def test_a_manifest_gives_the_images_of_the_sources_that_are_asked_for(pooled: Path) -> None:
    source = {"adapter": "manifest", "only": ["north", "south"], "ignore": ["lateral"]}

    trained, both = (
        read_pool(config(source), pooled, splits) for splits in (("train",), ("train", "test"))
    )

    rows = trained.table.set_index("path")
    assert list(rows.index) == ["a/1.png", "a/2.png"]
    assert list(rows["label"]) == ["covid-19", "normal"]
    assert list(rows["patient"]) == ["g1", "p2"]
    assert list(rows["group"]) == ["g1", "g2"]
    assert (trained.name, trained.licence) == ("pooled images: north", "CC BY 4.0")
    assert list(both.table["split"]) == ["train", "validation", "test"]
    assert both.licence == "CC BY 4.0; CC0"


def test_a_label_takes_the_name_of_the_recipes_class(pooled: Path) -> None:
    source = {"adapter": "manifest", "only": ["east"], "labels": {"other": "normal"}}

    dataset = read_pool(config(source), pooled, ("train",))

    assert list(dataset.table["label"]) == ["normal"]


def test_a_source_that_is_left_out_is_kept_for_another_day(pooled: Path) -> None:
    source = {"adapter": "manifest", "ignore": ["lateral", "other"]}
    recipe = config(source, leave_out=["south"])

    assert set(read_pool(recipe, pooled, ("train", "test")).table["source"]) == {"north"}
    assert list(read_pool(recipe, pooled, ("train", "test"), left_out=True).table["path"]) == [
        "a/3.png"
    ]


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [(["west"], "no source west to leave out"), ([], "leaves no source out")],
)
def test_what_cannot_be_left_out_is_named(pooled: Path, leave_out: list[str], message: str) -> None:
    recipe = config({"adapter": "manifest"}, leave_out=leave_out)

    with pytest.raises(RecipeError, match=message):
        read_pool(recipe, pooled, ("train", "test"), left_out=True)


def test_several_data_sets_lie_below_one_root_and_share_no_patient(pooled: Path) -> None:
    write_kermany(pooled / "kermany", "train", images_per_class=2)
    recipe = config(
        {"adapter": "manifest", "only": ["north"]},
        {"adapter": "kermany", "folder": "kermany", "ignore": ["pneumonia"]},
    )

    dataset = read_pool(recipe, pooled, ("train",))

    assert list(dataset.table["path"]) == [
        "a/1.png",
        "a/2.png",
        "kermany/chest_xray/train/NORMAL/IM-0001-0001.jpeg",
        "kermany/chest_xray/train/NORMAL/IM-0001-0002.jpeg",
    ]
    assert dataset.table["patient"][0] == "north: g1"
    assert dataset.table["group"][0] == "manifest in .: g1"
    assert dataset.name.startswith("pooled images: north; Kermany 2018")
    assert dataset.root == pooled


def test_a_patient_of_one_folder_is_not_tested_where_he_is_trained_on(pooled: Path) -> None:
    more = [
        "a/5.png,,xray,normal,north,p_2,g8,test,,CC0",
        "a/6.png,,xray,normal,north,p9,g9,test,,CC0",
        "a/7.png,,xray,normal,south,p2,g7,test,,CC0",
    ]
    for row in more:
        (pooled / row.partition(",")[0]).touch()
    (pooled / "manifest.csv").write_text("\n".join([HEADER, *ROWS, *more]).replace("p2", "p-2"))
    recipe = config({"adapter": "manifest", "ignore": ["lateral", "other"]})

    tested, both = (read_pool(recipe, pooled, of) for of in (("test",), ("train", "test")))

    assert list(tested.table["path"]) == ["a/3.png", "a/6.png", "a/7.png"]
    assert tested.dropped == 1
    # Whoever draws a test of his own, or leaves a source out, has all images.
    assert both.dropped == read_pool(recipe, pooled, ("train",)).dropped == 0
    told = io.StringIO()
    tell_dropped(tested, Console(file=told))
    assert told.getvalue().startswith("1 test images are left out")


def test_a_folder_of_test_images_alone_is_tested(pooled: Path) -> None:
    row = "a/6.png,,xray,normal,north,p9,g9,test,,CC0"
    (pooled / "a/6.png").touch()
    (pooled / "manifest.csv").write_text("\n".join([HEADER, row]))
    recipe = config({"adapter": "manifest", "ignore": ["lateral", "other"]})

    assert list(read_pool(recipe, pooled, ("test",)).table["path"]) == ["a/6.png"]


def test_a_patient_of_one_source_is_one_patient_whichever_folder_lists_him(tmp_path: Path) -> None:
    rows = {
        "here": [
            "1.png,,xray,normal,north,nih-0001250,g1,val,,CC0",
            "2.png,,xray,covid19,north,nih-0007735,g2,test,,CC0",
            "3.png,,xray,normal,south,nih-0009999,g3,test,,CC0",
        ],
        "there": [
            "4.png,,xray,normal,north,nih_0001250,g4,train,,CC0",
            "5.png,,xray,covid19,north,nih_0007735,g5,train,,CC0",
            "6.png,,xray,normal,north,nih_0009999,g6,train,,CC0",
            "7.png,,xray,normal,north,,g7,test,,CC0",
        ],
    }
    for folder, lines in rows.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "manifest.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        for line in lines:
            (tmp_path / folder / line.partition(",")[0]).touch()
    recipe = config(*({"adapter": "manifest", "folder": folder} for folder in rows))

    groups = read_pool(recipe, tmp_path, ("train",)).table.set_index("path")["group"]
    tested = read_pool(recipe, tmp_path, ("test",)).table

    assert groups["here/1.png"] == groups["there/4.png"]
    assert groups.nunique() == 3
    # Trained on there, so tested nowhere; the same number at another source is another patient.
    assert list(tested["path"]) == ["here/3.png", "there/7.png"]
