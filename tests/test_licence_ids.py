"""An identifier of a licence is one of the Hub's, or the nearest one is named."""

import pytest

from rft.errors import RFTError
from rft.licence_ids import KNOWN, complaint, refuse_unknown


def test_what_the_hub_knows_is_taken_in_any_case():
    for license_id in (*KNOWN, "Apache-2.0", "MIT"):
        refuse_unknown(license_id)
    assert {"other", "unknown", "openrail++", "llama3.3", "cc0-1.0"} <= KNOWN


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("apache2", 'did you mean "apache-2.0"?'),
        ("cc-by-4", 'did you mean "cc-by-4.0"?'),
        ("zzzzzzzz", "they are at https://huggingface.co/docs/hub/repositories-licenses"),
    ],
)
def test_another_is_refused_with_the_nearest(typed, says):
    with pytest.raises(RFTError) as refused:
        refuse_unknown(typed)
    assert says in str(refused.value)
    assert "`other`" in str(complaint(typed))
