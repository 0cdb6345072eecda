"""Whether an image is one that a model may judge, by what its DICOM attributes say."""

from contract.dicom_facts import OTHER, DicomFacts
from contract.errors import UnsuitableImage
from contract.manifest import ModelManifest


def check_suitable(facts: DicomFacts | None, manifest: ModelManifest) -> None:
    """Refuse a DICOM image of a kind that a model does not take, and name the attribute.

    A file that is no DICOM says nothing, and an empty body part or view is common: all pass. Of
    what the file says, only a modality that DICOM defines is quoted.
    """
    if facts is None:
        return
    name = manifest.name
    if facts.modality not in manifest.modalities:
        modality = "none that DICOM defines" if facts.modality == OTHER else facts.modality
        says = f"{modality}, as {facts.modality_from} says" if modality else "not given"
        raise UnsuitableImage(
            f"The modality is {says}; {name} takes {', '.join(manifest.modalities)}."
        )
    if facts.processing_from:
        raise UnsuitableImage(
            f"The image is FOR PROCESSING, as {facts.processing_from} says, and not meant to be "
            "looked at. Send the one FOR PRESENTATION."
        )
    if facts.plane_from:
        raise UnsuitableImage(
            f"The image is no axial slice, as {facts.plane_from} says; {name} takes no other."
        )
    if facts.unit_from:
        raise UnsuitableImage(
            f"The values are in no Hounsfield units, as {facts.unit_from} says; {name} takes no "
            "others."
        )
    if facts.body_part and facts.body_part not in manifest.body_parts:
        raise UnsuitableImage(
            f"The body part is another than {', '.join(manifest.body_parts)}, as "
            f"{facts.body_part_from} says; {name} takes no other."
        )
    if facts.side:
        raise UnsuitableImage(
            f"The view is {facts.side.lower()}, as {facts.view_from} says; {name} takes frontal "
            "ones."
        )
