"""The durable queue's tables. `gateway.migrations` brings a database to this form.

Times are seconds since 1970; paths are relative to the state folder. Keys and UIDs follow from what
a result is of, so that doing it again makes the same.
"""

import hashlib
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Table(DeclarativeBase):
    """A table of the queue."""

    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy reads it
        str: String(64),
        float: Double,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


class Instance(Table):
    """What was received. ``state`` is routed, ignored or parked; ``size`` 0 is erased."""

    __tablename__ = "instances"
    __table_args__ = (
        UniqueConstraint("sop_uid", "digest"),
        Index("instances_by_state", "state", "id"),
        Index("instances_by_series", "series_uid"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sop_uid: Mapped[str]
    digest: Mapped[str]
    """Of the data set and its encoding."""
    path: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str]
    """dimse, stow or folder."""
    calling: Mapped[str] = mapped_column(default="")
    called: Mapped[str] = mapped_column(default="")
    received_at: Mapped[float]
    state: Mapped[str]
    reason: Mapped[str | None] = mapped_column(Text)
    rule: Mapped[str | None]
    series_uid: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None]


class _Task:
    """What is tried until it is done. ``state`` is waiting, done or parked."""

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[float] = mapped_column(default=time.time)
    first_try_at: Mapped[float | None]
    problem: Mapped[str | None] = mapped_column(Text)


class Job(_Task, Table):
    """What a service is asked: one frame of an image, or a series, whose ``frame`` is 0."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("unit", "uid", "frame", "rule"),
        Index("jobs_by_due_time", "state", "due_at"),
    )

    unit: Mapped[str]
    uid: Mapped[str]
    frame: Mapped[int]
    rule: Mapped[str]
    instance_id: Mapped[int] = mapped_column(ForeignKey("instances.id"))
    calling: Mapped[str]
    arrivals: Mapped[int] = mapped_column(default=0)
    last_arrival_at: Mapped[float]


def result_key(*of: str) -> str:
    """The key of a result, 64 hexadecimal digits, by what it is of and its model's digest."""
    return hashlib.sha256("\n".join(of).encode()).hexdigest()


def derived_uid(key: str, role: str) -> str:
    """A UID for an object, a series or a finding of the result with this key.

    Source: DICOM PS3.5 B.2, ITU-T X.667: the number of a UUID below 2.25.
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{key}/{role}').int}"


SOP_CLASSES = {
    "sr": Comprehensive3DSRStorage,
    "sc": SecondaryCaptureImageStorage,
    "map": SegmentationStorage,
}


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A DICOM object of a result, on the disk."""

    sop_class: str
    sop_uid: str
    file: Path


class Result(Table):
    """What was answered, once for each key. Its UIDs and its files' names follow from that."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("job_id", "version"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    version: Mapped[int]
    created_at: Mapped[float] = mapped_column(default=time.time)
    last_arrival_at: Mapped[float]
    kinds: Mapped[list[str]]
    """Of its DICOM objects; the report comes first."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Of their files together; 0 is erased."""
    bundle: Mapped[str] = mapped_column(Text)
    """The FHIR Bundle, as JSON; empty once it is erased."""

    def objects(self, state_dir: Path) -> list[ResultObject]:
        """Its DICOM objects, and where they are."""
        folder = state_dir / "results" / self.key[:2]
        return [
            ResultObject(
                SOP_CLASSES[kind], derived_uid(self.key, kind), folder / f"{self.key}.{kind}.dcm"
            )
            for kind in self.kinds
        ]


class Delivery(_Task, Table):
    """A result on its way to a destination."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("result_key", "destination"),
        Index("deliveries_by_due_time", "destination", "state", "due_at"),
    )

    result_key: Mapped[str] = mapped_column(ForeignKey("results.key"))
    destination: Mapped[str]
    done_at: Mapped[float | None]
    result: Mapped[Result] = relationship(lazy="joined")
