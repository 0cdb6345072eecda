"""``POST /report``: the report on one file, made at once for a reader at the service's page.

It is asked for with the reader's own key, kept nowhere and sent nowhere: what a reader saves is
theirs to send. Each has UIDs of its own, because it has a time of its own.
"""

import asyncio
import uuid
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.config import MIB, Http, Rule
from gateway.errors import KeyRefused, Permanent, StorageFull, Transient, Unacceptable
from gateway.headers import frames_of
from gateway.intake import Intake
from gateway.report import Source, encoded, structured_report
from gateway.rules import route
from gateway.service import Services
from gateway.stow import RETRY_AFTER, pieces_of
from gateway.tables import Instance

_MAX_BYTES = 256 * MIB
_RECEIVE_S = 60
_AT_ONCE = 4
_ANY_IMAGE = Rule(name="page", destinations=("page",))


class Asked(BaseModel):
    """What a report is to be of; with ``digest`` only of what that model says."""

    frame: Annotated[int, Field(ge=1)] = 1
    model: str | None = None
    digest: str | None = None


def report_route(config: Http, intake: Intake, services: Services) -> Route:
    """The route, for pages of the configured origins."""
    origins, at_once = config.page_origins, asyncio.Semaphore(_AT_ONCE)

    async def answer(request: Request) -> Response:
        # Nobody is asked for a key before the service is: what may come in until then is little.
        if request.headers.get("Origin", origins[0]) not in origins:
            raise HTTPException(403, "this origin is not in [http] page_origins")
        if at_once.locked():
            raise HTTPException(503, "others have reports made: try again", RETRY_AFTER)
        async with at_once:
            return await _make(config, intake, services, request)

    # The middleware answers what a browser asks beforehand.
    headers = ["Authorization", "Content-Type"]
    pages = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["POST"], allow_headers=headers
    )
    return Route("/report", answer, methods=["POST", "OPTIONS"], middleware=[pages])


async def _make(config: Http, intake: Intake, services: Services, request: Request) -> Response:
    try:
        asked = Asked.model_validate(dict(request.query_params))
        intake.check_space()
        with NamedTemporaryFile(dir=intake.incoming) as file:
            await _receive(request, file, min(_MAX_BYTES, config.max_body_bytes))
            # Without one the service is asked without one, not with the gateway's.
            key, of = request.headers.get("Authorization", ""), Path(file.name)
            if not key.isascii():
                raise HTTPException(401, "the key is not known")
            document = await run_in_threadpool(_report, services, of, asked, key)
    except ValidationError as error:
        raise HTTPException(422, "frame, model or digest is not well-formed") from error
    except (Unacceptable, Permanent) as error:
        raise HTTPException(422, str(error)) from error
    except KeyRefused as error:
        raise HTTPException(401, str(error)) from error
    except TimeoutError as error:
        raise HTTPException(408, f"the file did not come within {_RECEIVE_S} s") from error
    except (Transient, StorageFull) as error:
        raise HTTPException(503, str(error), RETRY_AFTER) from error
    except OSError as error:
        raise HTTPException(503, "the gateway cannot write now", RETRY_AFTER) from error
    return Response(document, media_type="application/dicom")


async def _receive(request: Request, file: IO[bytes], limit: int) -> None:
    async with asyncio.timeout(_RECEIVE_S):
        async for chunk in pieces_of(request, limit):
            file.write(chunk)
    file.flush()


def _report(services: Services, file: Path, asked: Asked, authorization: str) -> bytes:
    routed = route([_ANY_IMAGE], file, Instance(sop_uid="", calling="", called=""))
    if routed.rule is None:
        raise Unacceptable(str(routed.reason))
    source = Source(file, asked.frame)
    if asked.frame > frames_of(source.header):
        raise Unacceptable(f"It has no frame {asked.frame}.")
    reading = services.predict(file, asked.frame, model=asked.model, authorization=authorization)
    if asked.digest not in (None, reading.digest):
        raise Permanent("Another version of the model answers now: read the image again.")
    return encoded(structured_report(uuid.uuid4().hex, reading, [source]))
