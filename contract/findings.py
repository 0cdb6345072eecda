"""The label vocabulary: what a model may say, and the code that a hospital system reads.

Source: SNOMED CT International Edition.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SNOMED_CT = "http://snomed.info/sct"

Label = Literal["normal", "infection", "pneumonia", "covid-19", "tuberculosis", "other"]


class Code(BaseModel):
    """A concept of a terminology, as FHIR's Coding names it."""

    model_config = ConfigDict(frozen=True)

    system: str
    code: str
    display: str


CODES: dict[Label, Code] = {
    "normal": Code(system=SNOMED_CT, code="17621005", display="Normal"),
    "infection": Code(system=SNOMED_CT, code="128601007", display="Infectious disease of lung"),
    "pneumonia": Code(system=SNOMED_CT, code="233604007", display="Pneumonia"),
    "covid-19": Code(system=SNOMED_CT, code="840539006", display="COVID-19"),
    "tuberculosis": Code(system=SNOMED_CT, code="154283005", display="Pulmonary tuberculosis"),
    "other": Code(system=SNOMED_CT, code="74964007", display="Other"),
}
