from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    StorageCommitmentPushModel,
    Verification,
)
from structlog.testing import capture_logs

from gateway.config import Destination, Service
from gateway.destinations import Commitments, DimseSender, sender
from gateway.errors import Permanent, Transient
from gateway.service import Services
from gateway.tables import ResultObject
from tests.gateway.drawn import ROOT, film
from tests.gateway.peer import answering

STORED, FAILED = "00081199", "00081198"
JSON = "application/dicom+json"
LOGIN = "<html>Log in</html>"


@pytest.fixture
def sent(tmp_path: Path) -> ResultObject:
    (tmp_path / "1.dcm").write_bytes(film(1))
    return ResultObject("1.2", f"{ROOT}.1.1", tmp_path / "1.dcm")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, '{"resourceType": "Bundle", "type": "transaction-response"}', None),
        (200, LOGIN, Transient),
        (200, '{"resourceType": "Bundle", "type": "searchset"}', Transient),
        (204, "", Transient),
        (301, "", Transient),
        (400, "", Permanent),
    ],
)
def test_a_fhir_server_has_a_result_when_it_answers_with_a_transaction(
    sent: ResultObject, status: int, body: str, error: type[Exception] | None
) -> None:
    with answering(lambda *_: (status, "text/html", body.encode())) as peer:
        assert outcome(Destination(name="f", kind="fhir", url=peer.url), sent) is error


def item(uid: str = f"{ROOT}.1.1", reason: int | None = None) -> str:
    failure = f', "00081197": {{"vr": "US", "Value": [{reason}]}}' if reason else ""
    return f'{{"00081155": {{"vr": "UI", "Value": ["{uid}"]}}{failure}}}'


def said(tag: str, of: str) -> str:
    return f'{{"{tag}": {{"vr": "SQ", "Value": [{of}]}}}}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "error"),
    [
        (200, JSON, said(STORED, item()), None),
        (200, f"{JSON}; charset=utf-8", said(STORED, item()), None),
        (202, JSON, said(FAILED, item(reason=0x0111)), None),
        (409, JSON, said(FAILED, item(reason=0x0111)), None),
        (409, JSON, said(FAILED, item(reason=0xC000)), Permanent),
        (409, "text/plain", "no", Permanent),
        (202, JSON, said(FAILED, item(reason=0xA700)), Transient),
        (200, JSON, said(STORED, item("1.2.3")), Transient),
        (200, JSON, "[]", Transient),
        (200, "text/html", LOGIN, Transient),
        (204, JSON, "", Transient),
        (301, JSON, "", Transient),
        (302, JSON, "", Transient),
        (503, JSON, "", Transient),
    ],
)
def test_an_archive_has_an_object_when_it_names_it(
    sent: ResultObject, status: int, kind: str, body: str, error: type[Exception] | None
) -> None:
    with answering(lambda *_: (status, kind, body.encode())) as peer:
        assert outcome(Destination(name="s", kind="stow", url=peer.url), sent) is error


@pytest.mark.parametrize("end", ["", "/"])
def test_a_slash_at_the_end_of_an_archives_address_makes_no_difference(
    sent: ResultObject, end: str
) -> None:
    asked: list[str] = []

    def answer(path: str, _body: bytes) -> tuple[int, str, bytes]:
        asked.append(path.partition("?")[0])
        return 200, "text/html", LOGIN.encode()

    with answering(answer) as peer:
        archive = Destination(name="s", kind="stow", url=f"{peer.url}/dicom-web{end}")
        outcome(archive, sent)
        sender(archive, "PNEUMO", Commitments()).echo()

    assert asked == ["/dicom-web/studies"] * 2


def outcome(destination: Destination, sent: ResultObject) -> type[Exception] | None:
    """The kind of error that sending ends in."""
    to = sender(destination, "PNEUMO", Commitments())
    try:
        to.send([sent], "{}")
    except (Transient, Permanent) as error:
        return type(error)
    finally:
        to.close()
    return None


@pytest.mark.parametrize("status", [200, 302])
def test_a_page_to_log_in_at_is_no_reading_and_no_refusal(sent: ResultObject, status: int) -> None:
    with answering(lambda *_: (status, "text/html", LOGIN.encode())) as peer:
        services = Services(Service(urls=(peer.url,)))

        with pytest.raises(Transient, match=str(status)):
            services.predict(sent.file)


@contextmanager
def archive(
    *services: str,
    syntax: UID = ExplicitVRLittleEndian,
    on_store: Callable[[evt.Event], int] = lambda _: 0,
    on_action: Callable[[evt.Event], Any] = lambda _: None,
) -> Iterator[Destination]:
    """An archive that takes reports in one encoding, and offers these services beside."""
    ae = AE("ARCHIVE")
    ae.add_supported_context(Comprehensive3DSRStorage, syntax)
    for service in (Verification, *services):
        ae.add_supported_context(service)
    handlers: list[Any] = [(evt.EVT_C_STORE, on_store), (evt.EVT_N_ACTION, on_action)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.server_address[1]
    try:
        yield Destination(
            name="p", kind="dimse", port=port, ae_title="ARCHIVE", storage_commitment=True
        )
    finally:
        server.shutdown()


@pytest.fixture
def report(tmp_path: Path) -> ResultObject:
    (tmp_path / "sr.dcm").write_bytes(film(1, SOPClassUID=Comprehensive3DSRStorage))
    return ResultObject(Comprehensive3DSRStorage, f"{ROOT}.1.1", tmp_path / "sr.dcm")


def test_an_archive_that_offers_no_query_gives_no_count() -> None:
    with archive() as peer:
        to = DimseSender(peer, "PNEUMO", Commitments())
        count = to.count("1.2", "1.3")
        to.close()

    assert count is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_an_archive_gets_a_report_in_the_encoding_that_it_takes(
    report: ResultObject, syntax: UID
) -> None:
    kept: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        kept.append(event.dataset)
        return 0

    with archive(syntax=syntax, on_store=keep) as peer:
        assert outcome(peer, report) is None

    [received], sent = kept, dcmread(report.file)
    # Their VRs are not sent with Implicit VR.
    assert [(e.tag, e.value) for e in received] == [(e.tag, e.value) for e in sent]


def test_an_archive_that_offers_no_commitment_has_what_it_stored(report: ResultObject) -> None:
    with archive() as peer, capture_logs() as logged:
        assert outcome(peer, report) is None

    assert [line["event"] for line in logged] == ["offers no storage commitment"]


def test_an_archive_that_drops_the_association_and_promises_later_is_believed(
    report: ResultObject,
) -> None:
    commitments, requests = Commitments(), list[Dataset]()

    def hear(event: evt.Event) -> None:
        requests.append(event.action_information)
        event.assoc.abort()

    with archive(StorageCommitmentPushModel, on_action=hear) as peer:
        asked = associated(peer)
        with pytest.raises(Transient, match="does not answer"):
            commitments.ask(asked, [report])
        commitments.on_report(SimpleNamespace(event_information=requests[0]))  # type: ignore[arg-type]
        commitments.ask(asked, [report])

    assert len(requests) == 1


def test_an_association_that_was_lost_before_it_is_asked_on_is_opened_again(
    report: ResultObject,
) -> None:
    with archive(StorageCommitmentPushModel) as peer:
        lost = associated(peer)
        lost.abort()

        with pytest.raises(Transient, match="was lost"):
            Commitments().ask(lost, [report])


def associated(peer: Destination) -> Association:
    ae = AE("PNEUMO")
    ae.add_requested_context(StorageCommitmentPushModel)
    return ae.associate(peer.host, peer.port, ae_title=peer.ae_title)


@pytest.mark.parametrize("status", [0, None])
def test_a_promise_that_comes_late_counts_the_next_time_for_the_peer_that_made_it(
    sent: ResultObject, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setattr("gateway.destinations._PATIENCE_S", 0)
    commitments, requests = Commitments(), list[Dataset]()

    with pytest.raises(Transient):
        commitments.ask(asking(requests, "A", status), [sent])
    commitments.on_report(SimpleNamespace(event_information=requests[0]))  # type: ignore[arg-type]

    with pytest.raises(Transient):
        commitments.ask(asking(requests, "B"), [sent])
    commitments.ask(asking(requests, "A"), [sent])
    assert len(requests) == 2


@pytest.mark.parametrize(("status", "remembered_s"), [(0x0110, 60), (0, 0)])
def test_what_was_refused_or_not_answered_for_long_is_forgotten(
    sent: ResultObject, monkeypatch: pytest.MonkeyPatch, status: int, remembered_s: int
) -> None:
    monkeypatch.setattr("gateway.destinations._PATIENCE_S", 0)
    monkeypatch.setattr("gateway.destinations._REMEMBERED_S", remembered_s)
    commitments, requests = Commitments(), list[Dataset]()

    for _ in range(2):
        with pytest.raises(Transient):
            commitments.ask(asking(requests, "A", status), [sent])
    commitments.on_report(SimpleNamespace(event_information=requests[0]))  # type: ignore[arg-type]

    with pytest.raises(Transient):
        commitments.ask(asking(requests, "A", status), [sent])


def asking(requests: list[Dataset], title: str, status: int | None = 0) -> Any:
    """An association with a peer that answers requests with this status, or not in time."""

    def take(request: Dataset, *_: object) -> tuple[Dataset, None]:
        requests.append(request)
        answer = Dataset()
        if status is not None:
            answer.Status = status
        return answer, None

    acceptor = SimpleNamespace(ae_title=title, address="127.0.0.1", port=104)
    return SimpleNamespace(acceptor=acceptor, send_n_action=take)
