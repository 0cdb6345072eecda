"""Whether a model takes an image, by what its DICOM header says."""

from contract.dicom_facts import LATERAL, OTHER, DicomFacts
from contract.errors import UnsuitableImage
from contract.manifest import ModelManifest

# Projection radiography, where a view from the side is another picture than the one from the front.
_RADIOGRAPHY = frozenset({"CR", "DX", "RF", "RG"})
# LLD and RLD, left and right lateral decubitus, are frontal views.
_LATERAL_VIEWS = frozenset({"LL", "RL", LATERAL})


def check_suitable(facts: DicomFacts | None, manifest: ModelManifest) -> None:
    """Refuse a DICOM image of a modality, body part or view that the model does not take.

    A file that is no DICOM says none of them, and an empty body part or view is common: all pass.
    Of what the file says, only a modality that DICOM defines is quoted.

    Raises:
        UnsuitableImage: The modality or the body part is another, or the view is lateral.

    Source: DICOM PS3.3 C.8.1.3, View Position.
    """
    if facts is None:
        return
    if facts.modality not in manifest.modalities:
        modality = {None: "not given", OTHER: "none that DICOM defines"}.get(
            facts.modality, facts.modality
        )
        raise UnsuitableImage(
            f"The modality is {modality}; {manifest.name} takes {', '.join(manifest.modalities)}."
        )
    if facts.body_part and facts.body_part not in manifest.body_parts:
        raise UnsuitableImage(
            f"The body part is another than {', '.join(manifest.body_parts)}, "
            f"which is what {manifest.name} takes."
        )
    if facts.modality in _RADIOGRAPHY and facts.view_position in _LATERAL_VIEWS:
        raise UnsuitableImage(f"The view is lateral; {manifest.name} takes frontal ones.")
