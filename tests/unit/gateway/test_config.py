from pathlib import Path

import pytest

from gateway.config import read_config
from gateway.errors import InvalidConfiguration

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state_dir", "Expected '='"),
        ("[dicom]\nprot = 1", "dicom.prot: Extra inputs are not permitted"),
        ('[[rules]]\nname = "r"\ndestinations = ["x"]', "rule r names unknown destinations: ['x']"),
        ('[[destinations]]\nname = "d"\nkind = "fhir"', "destination d needs a url"),
        ('[[destinations]]\nname = "d"\nkind = "dimse"\n' * 2, "is given twice"),
        (
            '[[destinations]]\nname = "d"\nkind = "fhir"\nurl = "http://d"\n'
            '[[rules]]\nname = "r"\ndestinations = ["d"]\ncount_from = "d"',
            "rule r counts from d, which is not of kind dimse",
        ),
        ('[dicom]\nae_titles = ["A TITLE THAT IS TOO LONG"]', "at most 16 characters"),
    ],
)
def test_settings_that_do_not_hold_together_are_refused_in_words(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text)

    with pytest.raises(InvalidConfiguration) as refused:
        read_config(file)

    assert said in str(refused.value)


def test_the_settings_of_the_compose_profile_hold_together() -> None:
    config = read_config(REPOSITORY / "deploy" / "gateway" / "gateway.toml")

    assert [rule.name for rule in config.rules] == ["chest-films", "chest-ct"]
    assert config.database == "sqlite:////var/lib/pneumo-gateway/queue.db"
