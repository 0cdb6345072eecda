"""Written by the one side and read by the other: tritonclient, whose code is none of ours."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from service.inference_protocol import HEADER_LENGTH, InferenceRequest, parse_request
from service.routes.v2 import inference_response
from tests.bundles import make_manifest

SIZE = 8
MAX_IMAGES = 8
MANIFEST = make_manifest("sha256:" + 64 * "0", size=SIZE)
NAMES = [tensor.name for tensor in MANIFEST.signature.outputs]
# JSON has no number that is not finite.
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
IDENTIFIERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

pixels = st.integers(1, MAX_IMAGES).flatmap(
    lambda batch: arrays.arrays(np.uint8, (batch, SIZE, SIZE, 1))
)
files = st.lists(st.binary(max_size=300), min_size=1, max_size=MAX_IMAGES)
outputs = st.dictionaries(st.sampled_from(NAMES), st.booleans())
numbers = arrays.arrays(np.float32, (3, 2), elements=FINITE)


@given(image=pixels, binary=st.booleans(), request_id=IDENTIFIERS, wanted=outputs)
def test_arrays_are_read_as_a_client_writes_them(
    *, image: NDArray[np.uint8], binary: bool, request_id: str, wanted: dict[str, bool]
) -> None:
    tensor = InferInput("image", list(image.shape), "UINT8")
    tensor.set_data_from_numpy(image, binary_data=binary)
    asked = [InferRequestedOutput(name, binary_data=b) for name, b in wanted.items()]
    body, length = InferenceServerClient.generate_request_body(
        [tensor], outputs=asked, request_id=request_id
    )

    header = None if length is None else str(length)
    request = parse_request(body, header, MANIFEST, MAX_IMAGES)

    np.testing.assert_array_equal(np.asarray(request.images), image)
    assert request.id == (request_id or None)
    # The client asks for all outputs in binary form where it names none.
    expected = wanted or dict.fromkeys(NAMES, True)
    assert request.outputs == expected


@given(data=files)
def test_files_are_read_as_a_client_writes_them(data: list[bytes]) -> None:
    tensor = InferInput("image", [len(data)], "BYTES")
    # NumPy would cut trailing zeros off an array of bytes.
    tensor.set_data_from_numpy(np.array(data, dtype=object))
    body, length = InferenceServerClient.generate_request_body([tensor])

    request = parse_request(body, str(length), MANIFEST, MAX_IMAGES)

    assert [bytes(file) for file in request.images] == data


@given(logits=numbers, probabilities=numbers, request_id=IDENTIFIERS, binary=outputs)
def test_answers_are_read_by_a_client_as_they_were_written(
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    request_id: str,
    binary: dict[str, bool],
) -> None:
    written = {"logits": logits, "probabilities": probabilities}
    wanted = {name: binary.get(name, False) for name in written}
    request = InferenceRequest(request_id, (), wanted, "routine")

    response = inference_response(MANIFEST, request, written, "fp32")
    header = response.headers.get(HEADER_LENGTH)
    read = InferenceServerClient.parse_response_body(
        bytes(response.body), header_length=None if header is None else int(header)
    )

    assert read.get_response()["id"] == request_id
    assert (header is not None) == any(wanted.values())
    for name, array in written.items():
        np.testing.assert_array_equal(read.as_numpy(name), array)
