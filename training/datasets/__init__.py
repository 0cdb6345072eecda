"""One adapter per upstream layout; each turns a folder into a table of images."""

from pathlib import Path

from training.datasets.base import (
    Adapter,
    Dataset,
    ImageRow,
    OfficialSplit,
    check_labels,
    data_digest,
)
from training.datasets.covid_chestxray import CovidChestxrayAdapter
from training.datasets.covid_ct import CovidCtAdapter
from training.datasets.covid_radiography import CovidRadiographyAdapter
from training.datasets.ct_slices import CtSlicesAdapter
from training.datasets.four_class import FourClassAdapter
from training.datasets.kermany import KermanyAdapter
from training.datasets.manifest import ManifestAdapter
from training.datasets.nih14 import Nih14Adapter
from training.datasets.rsna_pneumonia import RsnaPneumoniaAdapter
from training.datasets.sars_cov_2_ct import SarsCov2CtAdapter
from training.datasets.tb_chest import TbChestAdapter
from training.datasets.tuberculosis_pk import TuberculosisPkAdapter
from training.errors import DataError, RecipeError

ADAPTERS: dict[str, type[Adapter]] = {
    "covid-chestxray": CovidChestxrayAdapter,
    "covid-ct": CovidCtAdapter,
    "covid-radiography": CovidRadiographyAdapter,
    "ct-slices": CtSlicesAdapter,
    "four-class": FourClassAdapter,
    "kermany": KermanyAdapter,
    "manifest": ManifestAdapter,
    "nih14": Nih14Adapter,
    "rsna-pneumonia": RsnaPneumoniaAdapter,
    "sars-cov-2-ct": SarsCov2CtAdapter,
    "tb-chest": TbChestAdapter,
    "tuberculosis-pk": TuberculosisPkAdapter,
}

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Dataset",
    "ImageRow",
    "OfficialSplit",
    "check_labels",
    "data_digest",
    "read_dataset",
]


def read_dataset(adapter: str, root: Path, split: OfficialSplit) -> Dataset:
    """List one official split of a data set.

    Raises:
        RecipeError: There is no such adapter.
        DataError: ``root`` is no folder, or not laid out as the adapter expects.
    """
    if adapter not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise RecipeError(f"There is no adapter {adapter!r}. Known: {known}.")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the data set's folder.")
    return ADAPTERS[adapter]().read(root, split)
