from service.headers import header_of

SCOPE = {"type": "http", "headers": [(b"a", b"1"), (b"b", b"caf\xe9"), (b"a", b"2")]}


def test_of_several_headers_of_a_name_the_first_counts() -> None:
    assert header_of(SCOPE, b"a") == "1"


def test_a_header_is_read_as_latin_1() -> None:
    assert header_of(SCOPE, b"b") == "café"


def test_a_header_that_is_not_there_is_none() -> None:
    assert header_of(SCOPE, b"c") is None
