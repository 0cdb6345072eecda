import io
import json
import re
import socket
import ssl
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from xml.etree.ElementTree import fromstring

import httpx
import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from gateway.config import Tls
from gateway.errors import Transient
from gateway.http_peer import HttpPeer
from tests.gateway.drawn import film, slice_of
from tests.gateway.peer import answering, serving
from tests.gateway.stack import (
    FILMS,
    REPOSITORY,
    SERIES,
    Archive,
    Service,
    archive,
    dcmsend,
    eventually,
    free_port,
    gateway,
    to,
)

pytestmark = pytest.mark.gateway
_REQUEST = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
_SOME = "3 of 4 instances have arrived"
_ABOUT = "ParticipantObjectIdentification"
# RFC 5424: priority, version, time, host, application, process, kind of message, no data.
SYSLOG = re.compile(
    r"<85>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ pneumo-gateway \d+ IHE\+RFC-3881 - \ufeff<"
)


def write(folder: Path, number: int, **attributes: Any) -> tuple[Path, str]:
    """A film in a file, and the UID of its study."""
    image = film(number, **attributes)
    file = folder / f"{number}.dcm"
    file.write_bytes(image)
    return file, str(pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID)


@dataclass
class FhirServer:
    """A FHIR server as far as conditional creates in transactions go; fails when told to."""

    failures: int = 0
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    bundles: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if not body:
            return 200 if path == "/metadata" else 404, "", b""
        bundle = json.loads(body)
        self.bundles.append(bundle)
        for entry in bundle["entry"]:
            self.resources.setdefault(entry["request"]["ifNoneExist"], entry["resource"])
        # The answer to the first is lost: the client cannot know that it was done.
        self.failures -= 1
        answer = b'{"resourceType": "Bundle", "type": "transaction-response"}'
        return 503 if self.failures >= 0 else 200, "application/fhir+json", answer


def test_each_destination_has_a_queue_of_its_own(
    running_service: Service, running_archive: Archive, tmp_path: Path
) -> None:
    away = archive(tmp_path / "away")
    dicomweb = {"name": "web", "kind": "stow", "url": f"{running_archive.url}/dicom-web"}
    pictures = {"secondary_capture": True, "activation_map": True}
    rule = {**FILMS, "destinations": ["pacs", "web", "fhir"], **pictures}
    file, study = write(tmp_path, 101, StudyDate="20260102", StudyTime="101010", StudyID="1")
    fhir = FhirServer(failures=1)
    with answering(fhir) as peer:
        clinic = {"name": "fhir", "kind": "fhir", "url": f"{peer.url}/"}
        destinations = [to(away), dicomweb, clinic]
        program = gateway(tmp_path / "gw", [running_service.url], destinations, rules=[rule])
        with program as running:
            time.sleep(7)  # connections that nothing was sent over are closed by now
            assert running.send(file)
            eventually(lambda: running_archive.reports(StudyInstanceUID=study))
            eventually(lambda: len(fhir.bundles) == 2)
            assert running.counts()["deliveries"]["waiting"] == 1
            assert running.call("echo").stdout == (
                "service: there\npacs: away\nweb: there\nfhir: there\n"
            )

            with away:
                eventually(running.is_idle)
                there = away.find(StudyInstanceUID=study)

    # By C-STORE and by STOW-RS, a report, a picture and a map each.
    assert len(there) == len(running_archive.find(StudyInstanceUID=study)) == 3
    first, second = fhir.bundles
    assert first == second
    assert len(fhir.resources) == len(first["entry"]) == 6
    Bundle.model_validate(first)
    kinds = sorted(entry["resource"]["resourceType"] for entry in first["entry"])
    assert kinds == ["Device", "DiagnosticReport", *["Observation"] * 4]
    picture = valid(running_archive, tmp_path, StudyInstanceUID=study, Modality="OT")
    assert picture.BurnedInAnnotation == "YES"
    assert "RESEARCH ONLY" in picture.SeriesDescription
    # Red is only where the heatmap is.
    red = picture.pixel_array[..., 0].astype(int) - picture.pixel_array[..., 2]
    assert red.max() > 50
    drawn = valid(running_archive, tmp_path, StudyInstanceUID=study, Modality="SEG")
    film = pydicom.dcmread(file)
    assert (drawn.SegmentationType, drawn.pixel_array.shape) == (
        "FRACTIONAL",
        (film.Rows, film.Columns),
    )
    assert drawn.pixel_array.max() - drawn.pixel_array.min() > 50
    [segment] = drawn.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
    # It lies over the film that it was made of.
    [series] = drawn.ReferencedSeriesSequence
    [reference] = series.ReferencedInstanceSequence
    assert reference.ReferencedSOPInstanceUID == film.SOPInstanceUID


def valid(archive: Archive, folder: Path, **query: str) -> pydicom.Dataset:
    """The one object that the archive has of a kind, in which dciodvfy finds no error."""
    file = folder / "valid.dcm"
    [name] = archive.find(**query)
    file.write_bytes(archive.file(name))
    checked = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stderr, checked.stderr
    return pydicom.dcmread(file)


def test_a_commitment_is_waited_for_where_the_archive_offers_it(
    running_service: Service, tmp_path: Path
) -> None:
    port = free_port()
    promising = archive(tmp_path / "promising", gateway_port=port)
    destination = to(promising, storage_commitment=True)
    # Orthanc knows the peers that it reports to by their titles.
    program = gateway(tmp_path / "gw", [running_service.url], [destination], dicom={"port": port})
    file, study = write(tmp_path, 102)
    with promising, program as running:
        assert running.send(file)

        eventually(running.is_idle)

        assert running.counts()["deliveries"] == {"done": 1}
        assert len(promising.reports(StudyInstanceUID=study)) == 1


def test_orthanc_sends_by_rest_and_each_stable_study_by_the_guides_line_of_lua(
    running_service: Service, tmp_path: Path
) -> None:
    guide = (REPOSITORY / "docs" / "gateway.md").read_text()
    script = tmp_path / "send.lua"
    script.write_text(guide.partition("```lua\n")[2].partition("```")[0])
    port = free_port()
    by_lua = archive(tmp_path / "lua", gateway_port=port, LuaScripts=[str(script)], StableAge=1)
    by_rest = archive(tmp_path / "rest", gateway_port=port)
    rule = {**FILMS, "destinations": ["lua", "rest"]}
    destinations = [to(by_lua, "lua"), to(by_rest, "rest")]
    program = gateway(
        tmp_path / "gw", [running_service.url], destinations, rules=[rule], dicom={"port": port}
    )
    (first, of_first), (second, of_second) = write(tmp_path, 116), write(tmp_path, 117)
    with by_lua, by_rest, program as running:
        dcmsend(by_lua.dicom_port, first, called="ARCHIVE")
        dcmsend(by_rest.dicom_port, second, called="ARCHIVE")
        [name] = by_rest.find("Study", StudyInstanceUID=of_second)
        store = f"{by_rest.url}/modalities/gateway/store"
        httpx.post(store, content=name, trust_env=False).raise_for_status()
        eventually(lambda: by_lua.reports(StudyInstanceUID=of_first))
        eventually(lambda: by_rest.reports(StudyInstanceUID=of_second))
        time.sleep(3)  # with its report the study becomes stable once more, and is sent
        eventually(running.is_idle)
        counts = running.counts()

    assert counts["jobs"] == {"done": 2}
    assert counts["deliveries"] == {"done": 4}


def test_a_series_waits_for_the_slices_that_the_archive_says_it_has(
    running_service: Service, running_archive: Archive, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.dcm" for number in range(4)]
    kinds = ["LOCALIZER", "AXIAL", "AXIAL", "AXIAL"]
    for number, (file, kind) in enumerate(zip(files, kinds, strict=True)):
        file.write_bytes(slice_of(9, number, ImageType=["ORIGINAL", "PRIMARY", kind]))
    study = str(pydicom.dcmread(files[0]).StudyInstanceUID)
    # A localizer is of the series too, and no rule takes it.
    rule = {**SERIES, "image_type": ["AXIAL"], "quiet_s": 0, "count_from": "pacs"}
    program = gateway(tmp_path / "gw", [running_service.url], [to(running_archive)], rules=[rule])
    assert dcmsend(running_archive.dicom_port, *files, called="ARCHIVE").returncode == 0
    with program as running:
        assert running.send(*files[:3])
        eventually(lambda: [r["problem"] for r in running.rows("jobs", "waiting")] == [_SOME])
        early = running_archive.reports(StudyInstanceUID=study)
        assert running.send(files[3])

        eventually(running.is_idle)

    assert early == []
    assert len(running_archive.reports(StudyInstanceUID=study)) == 1


def test_only_the_titles_of_the_list_may_send(running_service: Service, tmp_path: Path) -> None:
    peers = [{"calling": "ROOM1"}, {"calling": "ROOM2", "called": "NIGHT"}]
    dicom = {"ae_titles": ["PNEUMO", "NIGHT"], "peers": peers}
    program = gateway(tmp_path / "gw", [running_service.url], [], dicom=dicom, rules=[])
    file, _ = write(tmp_path, 103)
    with program as running:
        taken = {
            (calling, called): running.send(file, calling=calling, called=called)
            for calling, called in [
                ("ROOM1", "PNEUMO"),
                ("ROOM1", "NIGHT"),
                ("ROOM2", "NIGHT"),
                ("ROOM2", "PNEUMO"),
                ("ROOM3", "PNEUMO"),
                ("ROOM1", "OTHER"),
            ]
        }

    assert [pair for pair, was_taken in taken.items() if was_taken] == [
        ("ROOM1", "PNEUMO"),
        ("ROOM1", "NIGHT"),
        ("ROOM2", "NIGHT"),
    ]


def test_below_the_watermark_nothing_is_taken_and_the_sender_may_try_again(
    running_service: Service, tmp_path: Path
) -> None:
    program = gateway(tmp_path / "gw", [running_service.url], [], rules=[], min_free_bytes=1 << 60)
    file, _ = write(tmp_path, 104)
    with program as running:
        ended = subprocess.run(
            ["storescu", "-v", "-aec", "PNEUMO", "127.0.0.1", str(running.dicom_port), file],
            capture_output=True,
            text=True,
            check=False,
        )
        taken = running.send(file)
        ready = httpx.get(f"{running.url}/health/ready", trust_env=False)
        counts = running.counts()

    assert not taken
    assert "Refused: OutOfResources" in ended.stderr + ended.stdout
    assert ready.status_code == 503
    assert counts["instances"] == {}


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """Make a key and a certificate for the loopback, signed by itself or by another."""
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else []
    subprocess.run(
        [*_REQUEST, *subject, *signed, "-keyout", f"{name}.key", "-out", f"{name}.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def certificates(folder: Path) -> None:
    """An authority, whom it certifies, and a stranger."""
    for name, issuer in (("ca", None), ("gateway", "ca"), ("peer", "ca"), ("stranger", None)):
        certificate(folder, name, issuer)


def tls_of(folder: Path, name: str, authority: str = "ca") -> dict[str, str]:
    """The gateway's settings for one of these."""
    return {
        "certificate": str(folder / f"{name}.pem"),
        "key": str(folder / f"{name}.key"),
        "authorities": str(folder / f"{authority}.pem"),
    }


def server_context(folder: Path) -> ssl.SSLContext:
    """A peer that asks for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "peer.pem", folder / "peer.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def handshake(port: int, *arguments: str) -> str:
    """What OpenSSL says of a handshake."""
    ended = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (ended.stdout + ended.stderr).decode(errors="replace")


def test_tls_is_mutual_refuses_what_is_old_and_takes_a_new_certificate_without_a_restart(
    running_service: Service, tmp_path: Path
) -> None:
    certificates(tmp_path)
    tls = tls_of(tmp_path, "gateway")
    program = gateway(
        tmp_path / "gw",
        [running_service.url],
        [],
        rules=[],
        dicom={"tls": tls},
        http={"tls": {key: tls[key] for key in ("certificate", "key")}},
    )
    file, _ = write(tmp_path, 106)

    def store(name: str) -> bool:
        pair = [str(tmp_path / f"{name}.key"), str(tmp_path / f"{name}.pem")]
        trusted = ["+cf", str(tmp_path / "ca.pem")]
        peer = ["-aec", "PNEUMO", "127.0.0.1", str(program.dicom_port), str(file)]
        command = ["storescu", "+tls", *pair, *trusted, *peer]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    with program as running:
        # A peer that never speaks keeps nobody out.
        with socket.create_connection(("127.0.0.1", running.dicom_port)):
            assert store("peer")
        assert not store("stranger")
        for old in ("-tls1", "-tls1_1"):
            assert "Cipher is (NONE)" in handshake(running.dicom_port, old)
            assert "Cipher is (NONE)" in handshake(running.http_port, old)
        weak = handshake(running.dicom_port, "-tls1_2", "-cipher", "AES128-SHA")
        assert "Cipher is (NONE)" in weak
        before = handshake(running.dicom_port, "-tls1_2"), handshake(running.http_port)
        certificate(tmp_path, "renewed", "ca")
        (tmp_path / "renewed.pem").rename(tmp_path / "gateway.pem")
        (tmp_path / "renewed.key").rename(tmp_path / "gateway.key")
        after = handshake(running.dicom_port, "-tls1_2"), handshake(running.http_port)
        assert store("peer")

    assert all("CN=gateway" in text.replace(" ", "") for text in before)
    assert all("CN=renewed" in text.replace(" ", "") for text in after)


def test_whoever_renews_certificates_and_their_authority_restarts_nothing(tmp_path: Path) -> None:
    certificates(tmp_path)
    program = gateway(
        tmp_path / "gw",
        ["http://127.0.0.1:9"],
        [],
        rules=[],
        http={"tls": tls_of(tmp_path, "peer")},
    )

    url = f"https://127.0.0.1:{program.http_port}"
    known = HttpPeer(url, None, Tls.model_validate(tls_of(tmp_path, "gateway")))
    unknown = HttpPeer(url, None, Tls(authorities=tmp_path / "ca.pem"))
    with program, closing(known) as asking, closing(unknown) as stranger:
        once = {"Connection": "close"}
        before = asking.ask("GET", "/health/live", headers=once).status_code
        certificate(tmp_path, "ca")
        for name in ("gateway", "peer"):
            certificate(tmp_path, name, "ca")
        after = asking.ask("GET", "/health/live").status_code
        with pytest.raises(Transient):
            stranger.ask("GET", "/health/live")

    assert (before, after) == (200, 200)


def test_results_go_out_over_tls_to_whom_the_authority_certifies_and_to_nobody_else(
    running_service: Service, tmp_path: Path
) -> None:
    certificates(tmp_path)
    secured = archive(
        tmp_path / "secured",
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(tmp_path / "peer.pem"),
        DicomTlsPrivateKey=str(tmp_path / "peer.key"),
        DicomTlsTrustedCertificates=str(tmp_path / "ca.pem"),
        DicomTlsRemoteCertificateRequired=True,
    )
    file, study = write(tmp_path, 108)
    fhir = FhirServer()
    with answering(fhir, server_context(tmp_path)) as peer:
        clinic = {"kind": "fhir", "url": f"{peer.url}/"}
        trusting, doubting = tls_of(tmp_path, "gateway"), tls_of(tmp_path, "gateway", "stranger")
        destinations = [
            to(secured, "pacs", tls=trusting),
            to(secured, "doubted-pacs", tls=doubting),
            to(secured, "plain-pacs"),
            {"name": "fhir", **clinic, "tls": trusting},
            {"name": "doubted-fhir", **clinic, "tls": doubting},
        ]
        names = [destination["name"] for destination in destinations]
        rule = {**FILMS, "destinations": names}
        program = gateway(tmp_path / "gw", [running_service.url], destinations, rules=[rule])
        with secured, program as running:
            assert running.send(file)
            eventually(lambda: running.counts()["deliveries"].get("done") == 2)
            # Each of the others has been tried.
            eventually(lambda: all(r["attempts"] for r in running.rows("deliveries", "waiting")))
            waiting = {r["destination"] for r in running.rows("deliveries", "waiting")}
            reports = secured.reports(StudyInstanceUID=study)

    assert waiting == {"doubted-pacs", "plain-pacs", "doubted-fhir"}
    assert (len(reports), len(fhir.bundles)) == (1, 1)


def test_associations_pdus_idle_peers_and_rates_have_limits(tmp_path: Path) -> None:
    limits = {
        "max_associations": 2,
        "max_pdu_bytes": 16384,
        "idle_timeout_s": 4,
        "max_instances_per_s": 4,
    }
    program = gateway(tmp_path / "gw", ["http://127.0.0.1:9"], [], rules=[], dicom=limits)
    files = [write(tmp_path, number)[0] for number in range(110, 116)]
    room = AE("ROOM1")
    room.add_requested_context(Verification)
    spent: list[float] = []

    def send() -> bool:
        before = time.monotonic()
        is_sent = program.send(*files)
        spent.append(time.monotonic() - before)
        return is_sent

    with program as running:
        open_ = [room.associate("127.0.0.1", running.dicom_port, ae_title="PNEUMO") for _ in "abc"]
        established = [each.is_established for each in open_]
        offered = open_[0].acceptor.maximum_length
        eventually(lambda: not any(each.is_established for each in open_))
        # An association that is closed counts until its thread has ended.
        eventually(send)

    assert established == [True, True, False]
    assert offered == 16384
    # Six at four a second: the last one waits for five quarters.
    assert spent[-1] > 5 / 4


class _Repository(ThreadingTCPServer):
    """Takes messages over TLS from those whom its authority certifies."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _SyslogConnection)
        self.socket = server_context(folder).wrap_socket(self.socket, server_side=True)
        self.messages: list[str] = []


class _SyslogConnection(StreamRequestHandler):
    server: _Repository

    def handle(self) -> None:
        while length := self._length():
            self.server.messages.append(self.rfile.read(length).decode())

    def _length(self) -> int:
        digits = b""
        while (byte := self.rfile.read(1)) not in (b" ", b""):
            digits += byte
        return int(digits or b"0")


def test_who_has_the_key_sees_identifiers_and_replays_and_the_audit_repository_learns_of_it(
    running_service: Service, running_archive: Archive, tmp_path: Path
) -> None:
    certificates(tmp_path)
    with _Repository(tmp_path) as repository, serving(repository):
        port = repository.server_address[1]
        audit = {"host": "127.0.0.1", "port": port, "tls": tls_of(tmp_path, "gateway")}
        key = tmp_path / "key"
        key.write_text("open-sesame\n")
        program = gateway(
            tmp_path / "gw",
            [running_service.url],
            [to(running_archive)],
            # No model reads the second of them: its job is parked, and on the page.
            rules=[{**FILMS, "calling": ["ROOM1"]}, {**FILMS, "name": "none", "model": "none"}],
            audit=audit,
            http={"key_file": str(key)},
            give_up_after_h=0.0001,
        )
        (file, study), (parked, of_parked) = write(tmp_path, 107), write(tmp_path, 118)
        with program as running:
            assert running.send(file, calling="ROOM1")
            eventually(running.is_idle)
            assert running.send(parked, calling="ROOM2")
            eventually(lambda: running.counts()["jobs"].get("parked"))
            with httpx.Client(base_url=running.url, trust_env=False) as anybody:
                page, refused = anybody.get("/").text, anybody.post("/replay/jobs/2")
                stored = anybody.post("/studies")
                anybody.auth = ("operator", "open-sesame")
                named = anybody.get("/").text
                crossed = anybody.post("/replay/jobs/2", headers={"Sec-Fetch-Site": "cross-site"})
                replayed = anybody.post("/replay/jobs/2")
            eventually(lambda: running.counts()["jobs"].get("parked"))
            assert running.stop() == 0

    uid = str(pydicom.dcmread(parked).SOPInstanceUID)
    assert (uid in page, uid in named) == (False, True)
    assert "unknown" in named.lower() or "404" in named
    assert (refused.status_code, stored.status_code) == (401, 401)
    assert (crossed.status_code, replayed.status_code) == (403, 303)

    assert all(SYSLOG.match(message) for message in repository.messages), repository.messages
    bodies = [
        fromstring(message.partition("\ufeff")[2])  # noqa: S314 - its own
        for message in repository.messages
    ]
    events = [
        (
            body.find(".//EventID").get("originalText"),  # type: ignore[union-attr]
            [user.get("UserID") for user in body.iter("ActiveParticipant")],
            [about.get("ParticipantObjectID") for about in body.iter(_ABOUT)],
        )
        for body in bodies
    ]
    transferred, accessed = "DICOM Instances Transferred", "DICOM Instances Accessed"
    assert events == [
        ("Application Activity", ["PNEUMO"], []),
        (transferred, ["ROOM1", "PNEUMO"], [study, "DRAWN-107"]),
        (transferred, ["PNEUMO", "pacs"], [study, "DRAWN-107"]),
        (transferred, ["ROOM2", "PNEUMO"], [of_parked, "DRAWN-118"]),
        (accessed, ["PNEUMO", "127.0.0.1"], [of_parked, "DRAWN-118"]),
        ("Application Activity", ["PNEUMO"], []),
    ]
