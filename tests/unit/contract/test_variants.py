import pytest
from pydantic import ValidationError

from contract.manifest import ModelManifest
from tests.bundles import make_manifest, make_variant

DIGEST = "sha256:" + 64 * "0"
OTHER = "sha256:" + 64 * "1"


def test_a_manifest_without_variants_has_one_precision() -> None:
    written = make_manifest(DIGEST).model_dump_json(exclude={"variants"})

    assert ModelManifest.model_validate_json(written).digests == {"fp32": DIGEST}


def test_every_variant_has_its_digest() -> None:
    written = make_manifest(DIGEST).model_dump() | {"variants": [make_variant("int8", OTHER)]}

    read = ModelManifest.model_validate(written)

    assert read.digests == {"fp32": DIGEST, "int8": OTHER}
    assert ModelManifest.model_validate_json(read.model_dump_json()) == read


def test_a_precision_that_stands_twice_is_refused() -> None:
    variants = [make_variant("int8", DIGEST), make_variant("int8", OTHER)]

    with pytest.raises(ValidationError, match="stands twice"):
        ModelManifest.model_validate(make_manifest(DIGEST).model_dump() | {"variants": variants})
