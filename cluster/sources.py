"""Where the files of an archive are: a folder, an S3-compatible store, or a DICOMweb archive."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from dicomweb_client import DICOMwebClient
from pyarrow import fs

PAGE = 500


class Source(Protocol):
    """An archive. Safe to send to another process."""

    def names(self) -> Iterator[str]:
        """Every file by a name that stays the same, in no order."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            OSError: It cannot be read.
        """
        ...


@dataclass(frozen=True)
class Files:
    """A folder, or ``s3://bucket/prefix`` with the options of pyarrow in its query.

    Source: Arrow's file system URIs, such as ``?endpoint_override=localhost:9000&scheme=http``.
    """

    address: str

    def _open(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.address:
            system, root = fs.FileSystem.from_uri(self.address)
            return system, root
        return fs.LocalFileSystem(), self.address

    def names(self) -> Iterator[str]:
        """Every file below the root, by its path from there; hidden ones are left out."""
        system, root = self._open()
        base = system.normalize_path(root).rstrip("/")
        for found in system.get_file_info(fs.FileSelector(base, recursive=True)):
            path = found.path.removeprefix(f"{base}/")
            if found.type == fs.FileType.File and not path.startswith(".") and "/." not in path:
                yield path

    def read(self, name: str) -> bytes:
        """The bytes of the file."""
        system, root = self._open()
        with system.open_input_file(f"{root.rstrip('/')}/{name}") as file:
            return bytes(file.read())


@dataclass(frozen=True)
class Dicomweb:
    """An archive that answers QIDO-RS and WADO-RS. Names are ``study/series/instance``."""

    address: str
    modalities: tuple[str, ...] = ("CR", "DX", "CT")

    def names(self) -> Iterator[str]:
        """Every instance of the modalities, page by page."""
        client = DICOMwebClient(self.address)
        for modality in self.modalities:
            offset = 0
            while True:
                page = client.search_for_instances(
                    search_filters={"Modality": modality}, limit=PAGE, offset=offset
                )
                for found in page:
                    tags = ("0020000D", "0020000E", "00080018")
                    yield "/".join(found[tag]["Value"][0] for tag in tags)
                if len(page) < PAGE:
                    break
                offset += PAGE

    def read(self, name: str) -> bytes:
        """The instance as the archive keeps it."""
        study, series, instance = name.split("/")
        address = f"{self.address}/studies/{study}/series/{series}/instances/{instance}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        try:
            answer = httpx.get(address, headers={"accept": accept}, timeout=60)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(f"The archive did not give it: {error}") from error
        return _only_part(answer)


def open_source(address: str) -> Source:
    """The source of an address: ``dicomweb+https://…``, a URI of Arrow, or a folder."""
    scheme = urlsplit(address).scheme
    if scheme.startswith("dicomweb+"):
        return Dicomweb(address.removeprefix("dicomweb+").rstrip("/"))
    return Files(address)


def _only_part(answer: httpx.Response) -> bytes:
    """The first part of a multipart/related answer. Source: RFC 2046 section 5.1."""
    _, _, parameters = answer.headers["content-type"].partition("boundary=")
    boundary = b"\r\n--" + parameters.split(";")[0].strip('"').encode()
    _, _, rest = (b"\r\n" + answer.content).partition(boundary)
    _, _, body = rest.partition(b"\r\n\r\n")
    return body.partition(boundary)[0]
