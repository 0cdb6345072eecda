"""Where the files of an archive are: a folder, an S3-compatible store, or a DICOMweb archive.

A source can be sent to another process. ``names`` has every file by a name that stays the same,
and ``read`` its bytes. Both raise OSError, FileNotFoundError where the archive says that it has no
such file; ``check`` raises OSError where the archive itself is away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pyarrow import fs

PAGE = 500
_TAGS = ("0020000D", "0020000E", "00080018")


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

    def check(self) -> None:
        """See that the root has an entry: what was unmounted has none, which proves nothing."""
        system, root = self._open()
        if not system.get_file_info(fs.FileSelector(root, allow_not_found=True)):
            raise OSError(f"{root} is not there, or empty")


@dataclass(frozen=True)
class Dicomweb:
    """An archive that answers QIDO-RS and WADO-RS. Names are ``study/series/instance``.

    The bearer token in ``key_file`` is read for each request, so one that is renewed counts.
    """

    address: str
    key_file: Path | None = None
    modalities: tuple[str, ...] = ("CR", "DX", "CT")

    def names(self) -> Iterator[str]:
        """Every instance of the modalities, page by page."""
        for modality in self.modalities:
            seen: set[str] = set()
            while True:
                # An archive may give fewer than it is asked for, or take no notice of the offset.
                page = self._search(Modality=modality, limit=PAGE, offset=len(seen))
                new = [name for name in page if name not in seen]
                if not new:
                    break
                yield from new
                seen.update(new)

    def read(self, name: str) -> bytes:
        """The instance as the archive keeps it."""
        study, series, instance = name.split("/")
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        path = f"studies/{study}/series/{series}/instances/{instance}"
        return _only_part(self._get(path, accept))

    def check(self) -> None:
        """See that the archive answers a search."""
        self._search(limit=1)

    def _search(self, **query: str | int) -> list[str]:
        answer = self._get("instances", "application/dicom+json", **query)
        found = answer.json() if answer.content else []
        return ["/".join(each[tag]["Value"][0] for tag in _TAGS) for each in found]

    def _get(self, path: str, accept: str, **query: str | int) -> httpx.Response:
        headers = {"accept": accept}
        if self.key_file is not None:
            headers["authorization"] = f"Bearer {self.key_file.read_text().strip()}"
        try:
            answer = _client().get(f"{self.address}/{path}", params=query, headers=headers)
            if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                raise FileNotFoundError(path)
            return answer.raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(f"The archive does not answer: {error}") from error


@cache
def _client() -> httpx.Client:
    """One for each process: its connections stay open."""
    return httpx.Client(timeout=60)


Source = Files | Dicomweb


def open_source(address: str, key_file: Path | None = None) -> Source:
    """The source of an address: ``dicomweb+https://…``, a URI of Arrow, or a folder."""
    scheme = urlsplit(address).scheme
    if scheme.startswith("dicomweb+"):
        return Dicomweb(address.removeprefix("dicomweb+").rstrip("/"), key_file)
    return Files(address)


def _only_part(answer: httpx.Response) -> bytes:
    """The first part of a multipart/related answer. Source: RFC 2046 section 5.1."""
    _, _, parameters = answer.headers["content-type"].partition("boundary=")
    boundary = b"\r\n--" + parameters.split(";")[0].strip('"').encode()
    _, _, rest = (b"\r\n" + answer.content).partition(boundary)
    _, _, body = rest.partition(b"\r\n\r\n")
    return body.partition(boundary)[0]
