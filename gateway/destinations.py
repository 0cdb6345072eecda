"""How a result goes to a destination: C-STORE, STOW-RS, or a FHIR transaction.

What is sent twice is one object still: its UIDs and identifiers follow from its key.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx
import pydicom
import pynetdicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from contract.fhir import MEDIA_TYPE
from gateway.commitment import Commitments
from gateway.config import Destination, read_key
from gateway.errors import GatewayError, Permanent, Transient
from gateway.store import ResultObject
from gateway.tls import client_context

_TIMEOUT_S = 30.0
_SENT = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage, ParametricMapStorage)
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
# Source: DICOM PS3.4 B.2.3, PS3.7 annex C.
_DUPLICATE = 0x0111
_NO_STOW_ANSWER = "the peer's answer is none of STOW-RS"
_WARNINGS = range(0xB000, 0xC000)
_CANNOT_BE_UNDERSTOOD = (range(0xA900, 0xAA00), range(0xC000, 0xD000), range(0x0122, 0x0123))
_TO_BE_MENDED = frozenset({401, 403, 404, 407, 408, 421, 425, 429})


class Sender(Protocol):
    """Sends results to one destination, from one thread."""

    def send(self, objects: Sequence[ResultObject], bundle: Path) -> None:
        """Send all of a result.

        Raises:
            Transient: It may be taken later.
            Permanent: It never will.
        """
        ...

    def close(self) -> None:
        """Close the connection, which the next result opens again."""
        ...


def sender(destination: Destination, own_title: str, commitments: Commitments) -> Sender:
    """The way to a destination."""
    match destination.kind:
        case "dimse":
            return DimseSender(destination, own_title, commitments)
        case "stow":
            return StowSender(destination)
        case "fhir":
            return FhirSender(destination)


class DimseSender:
    """Sends by C-STORE over an association that is kept open while there is something to send."""

    def __init__(self, destination: Destination, own_title: str, commitments: Commitments) -> None:
        self._destination = destination
        self._commitments = commitments
        self._ae = AE(own_title)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = _TIMEOUT_S
        self._ae.connection_timeout = _TIMEOUT_S
        for sop_class in _SENT:
            self._ae.add_requested_context(sop_class, _SYNTAXES)
        for sop_class in (Verification, StudyRootQueryRetrieveInformationModelFind):
            self._ae.add_requested_context(sop_class)
        if destination.storage_commitment:
            self._ae.add_requested_context(StorageCommitmentPushModel)
        self._association: Association | None = None
        # A file goes out piece by piece.
        pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True

    def send(self, objects: Sequence[ResultObject], bundle: Path) -> None:  # noqa: ARG002
        """Send the objects and, where the destination offers it, wait for its commitment."""
        association = self._connected()
        for sent in objects:
            self._store(association, sent)
        if self._destination.storage_commitment:
            self._commitments.ask(association, objects)

    def echo(self) -> None:
        """Ask whether somebody is there."""
        status = self._connected().send_c_echo()
        if not status or status.Status != 0:
            raise Transient("the peer does not answer C-ECHO")

    def count(self, study_uid: str, series_uid: str) -> int | None:
        """How many instances the peer says a series has; None where it does not say.

        Raises:
            Transient: It does not answer.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_uid, series_uid
        query.NumberOfSeriesRelatedInstances = None
        model = StudyRootQueryRetrieveInformationModelFind
        association = self._connected()
        if model not in {context.abstract_syntax for context in association.accepted_contexts}:
            return None
        try:
            answers = list(association.send_c_find(query, model))
        except RuntimeError as error:
            raise Transient("the association was lost") from error
        if not all(status for status, _ in answers):
            self.close()
            raise Transient("the peer does not answer C-FIND")
        found = [answer for _, answer in answers if answer is not None]
        numbers = [answer.get("NumberOfSeriesRelatedInstances") for answer in found]
        try:
            return int(numbers[0]) if numbers and numbers[0] else None
        except ValueError:
            return None

    def close(self) -> None:
        """Release the association."""
        if self._association and self._association.is_established:
            self._association.release()
        self._association = None

    def _connected(self) -> Association:
        if self._association and self._association.is_established:
            return self._association
        peer = self._destination
        tls = (client_context(peer.tls), peer.host) if peer.tls else None
        self._association = self._ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            tls_args=tls,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._commitments.on_report)],
        )
        if not self._association.is_established:
            raise Transient("the peer opens no association")
        return self._association

    def _store(self, association: Association, sent: ResultObject) -> None:
        try:
            answer = association.send_c_store(sent.path)
        except ValueError as error:
            raise Permanent("the peer does not take this kind of object") from error
        except RuntimeError as error:
            raise Transient("the association was lost") from error
        if "Status" not in answer:
            self.close()
            raise Transient("the peer does not answer C-STORE")
        status = int(answer.Status)
        if status in (0, _DUPLICATE) or status in _WARNINGS:
            return
        problem = f"the peer answers C-STORE with status 0x{status:04X}"
        if any(status in kind for kind in _CANNOT_BE_UNDERSTOOD):
            raise Permanent(problem)
        raise Transient(problem)


class StowSender:
    """Sends by DICOMweb's STOW-RS."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._session = requests.Session()
        self._session.trust_env = False
        # A redirected POST becomes a GET, which any page answers.
        self._session.max_redirects = 0
        self._session.headers["Accept"] = "application/dicom+json"
        self._session.hooks["response"].append(_without_parameters)
        if tls := destination.tls:
            self._session.verify = str(tls.authorities) if tls.authorities else True
            if tls.certificate:
                self._session.cert = (str(tls.certificate), str(tls.key or tls.certificate))

    def send(self, objects: Sequence[ResultObject], bundle: Path) -> None:  # noqa: ARG002
        """Store the objects, and read which of them were taken."""
        self._session.headers.update(_authorization(self._destination))
        client = DICOMwebClient(self._destination.url, session=self._session)
        datasets = [pydicom.dcmread(sent.path) for sent in objects]
        client.set_http_retry_params(retry=False)  # the queue is what tries again
        kind: type[GatewayError] = Transient
        try:
            answer = client.store_instances(datasets)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 500
            _check(status, f"the peer answers STOW-RS with {status}", but=409)
            # 409: none was stored, each for its reason, such as that it is there already.
            answer, kind = _said_of_each(error.response), Permanent
        except requests.RequestException as error:
            name = type(error).__name__
            raise Transient(f"the peer does not answer STOW-RS ({name})") from error
        except Exception as error:  # whatever the library makes of a body that is none
            raise Transient(_NO_STOW_ANSWER) from error
        missing = {sent.sop_uid for sent in objects} - _kept(answer)
        if missing:
            failed = answer.get("FailedSOPSequence") or []
            reasons = {f"0x{int(item.get('FailureReason') or 0):04X}" for item in failed}
            said = ", ".join(sorted(reasons)) or "it does not name them"
            raise kind(f"the peer keeps {len(missing)} of {len(objects)} not: {said}")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class FhirSender:
    """Sends the Bundle to a FHIR server, as one transaction."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._client: httpx.Client | None = None

    def send(self, objects: Sequence[ResultObject], bundle: Path) -> None:  # noqa: ARG002
        """Post the Bundle."""
        headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        if self._client is None:
            context = client_context(self._destination.tls)
            self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False, verify=context)
        try:
            answer = self._client.post(
                self._destination.url,
                content=bundle.read_bytes(),
                headers=headers | _authorization(self._destination),
            )
        except httpx.HTTPError as error:
            name = type(error).__name__
            raise Transient(f"the FHIR server does not answer ({name})") from error
        _check(answer.status_code, f"the FHIR server answers with {answer.status_code}")
        # A redirect or a page to log in at is an answer, and no transaction.
        if answer.status_code not in (200, 201) or not _is_transaction_response(answer):
            problem = f"the FHIR server answers with {answer.status_code} and no transaction"
            raise Transient(problem)

    def close(self) -> None:
        """Close the connections; the next result opens new ones."""
        if self._client:
            self._client.close()
        self._client = None


def _authorization(destination: Destination) -> dict[str, str]:
    key = read_key(destination.key_file)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _without_parameters(answer: requests.Response, **_options: object) -> None:
    """Leave of the media type what the library compares."""
    kind = answer.headers.get("Content-Type", "")
    answer.headers["Content-Type"] = kind.partition(";")[0].strip().lower()


def _said_of_each(answer: requests.Response | None) -> Dataset:
    try:
        return Dataset.from_json(answer.json()) if answer is not None else Dataset()
    except Exception:  # noqa: BLE001 - whatever pydicom makes of the peer's body
        return Dataset()


def _kept(answer: Dataset) -> set[str]:
    """The UIDs that the peer says it has, be it from before."""
    stored = list(answer.get("ReferencedSOPSequence") or [])
    failed = answer.get("FailedSOPSequence") or []
    stored += [item for item in failed if item.get("FailureReason") == _DUPLICATE]
    return {str(item.get("ReferencedSOPInstanceUID")) for item in stored}


def _is_transaction_response(answer: httpx.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    expected = ("Bundle", "transaction-response")
    return isinstance(body, dict) and (body.get("resourceType"), body.get("type")) == expected


def _check(status: int, problem: str, but: int | None = None) -> None:
    """Raise for a status that says no, except one."""
    if status in _TO_BE_MENDED or status >= 500:
        raise Transient(problem)
    if status >= 400 and status != but:
        raise Permanent(problem)
