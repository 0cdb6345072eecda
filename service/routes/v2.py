"""``/v2``: the Open Inference Protocol, for any client that speaks it.

The protocol has an OpenAPI document of its own, so these routes are not in this service's.

Source: Open Inference Protocol, HTTP/REST, version 2.
"""

import asyncio
import time
from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from service import __version__
from service.auth import Requires
from service.decompression import decompressed
from service.errors import FileFailed, InferenceFailed, UnknownModel
from service.inference import Inference, run_inference
from service.inference_protocol.framing import HEADER_LENGTH
from service.inference_protocol.request import InferenceRequest, parse_request
from service.inference_protocol.response import (
    InferenceBody,
    inference_answer,
    model_metadata,
    server_metadata,
)
from service.logs import log_failure
from service.problems import INFERENCE_PROTOCOL, request_id_of
from service.routes.admitted import admitted
from service.routes.bodies import JSON
from service.runtime import Runtime, runtime_of
from service.session import ServedModel
from service.tracing import trace_of
from service.uploads import body_of

SERVER_NAME = "pneumoscope"
BINARY = "application/octet-stream"
_MAX_VERSION_DIGITS = 18

router = APIRouter(prefix=INFERENCE_PROTOCOL, include_in_schema=False)
_may_read = [Depends(Requires("read"))]
_may_predict = [Depends(Requires("predict"))]


@router.get("/health/live")
async def server_live(request: Request) -> Response:
    """Say that the event loop turns and, on a GPU, that a model still runs there."""
    await runtime_of(request).check_device()
    return Response(b'{"live":true}', media_type=JSON)


@router.get("/health/ready")
async def server_ready(request: Request) -> Response:
    """Say that every model is loaded and warm and, on a GPU, that one still runs there."""
    runtime = runtime_of(request)
    runtime.predictor()
    await runtime.check_device()
    return Response(b'{"ready":true}', media_type=JSON)


@router.get("", dependencies=_may_read)
async def server(request: Request) -> Response:  # noqa: ARG001 - every route gets it
    """Describe the server."""
    return Response(server_metadata(SERVER_NAME, __version__), media_type=JSON)


@router.get("/models/{name}", dependencies=_may_read)
@router.get("/models/{name}/versions/{version}", dependencies=_may_read)
async def model_description(request: Request) -> Response:
    """Describe a model: the named version, or the latest."""
    model = _model(request)
    repository = runtime_of(request).predictor().repository
    versions = [each.manifest.version for each in repository.versions(model.manifest.name)]
    return Response(model_metadata(model.manifest, versions), media_type=JSON)


@router.get("/models/{name}/ready", dependencies=_may_read)
@router.get("/models/{name}/versions/{version}/ready", dependencies=_may_read)
async def model_ready(request: Request) -> Response:
    """Say that a model can be asked."""
    model = _model(request)
    await runtime_of(request).check_device()
    return Response(f'{{"name":"{model.manifest.name}","ready":true}}', media_type=JSON)


@router.post("/models/{name}/infer", dependencies=_may_predict)
@router.post("/models/{name}/versions/{version}/infer", dependencies=_may_predict)
async def infer(request: Request) -> Response:
    """Run a model on images, and answer with the outputs of its graph."""
    runtime = runtime_of(request)
    # Before a byte of the body is read: there is no point in an upload that would be refused.
    model = _model(request)
    runtime.admission.check()
    budget, limit = runtime.receive_budget, runtime.settings.max_body_bytes
    encoding = request.headers.get("content-encoding", "")
    with decompressed(body_of(request), encoding, limit, budget) as body:
        chunks = [chunk async for chunk in body]
        read = partial(_parse, request.headers.get(HEADER_LENGTH), model, runtime)
        # Large tensors are large enough to be felt on the event loop.
        asked = await asyncio.to_thread(read, chunks)
        # The request has what it needs of the body.
        del chunks
        inference = await _infer(request, runtime, model, asked)
        return _answer(request, runtime, asked, inference)


def _parse(
    header_length: str | None, model: ServedModel, runtime: Runtime, chunks: list[bytes]
) -> InferenceRequest:
    return parse_request(
        b"".join(chunks), header_length, model.manifest, runtime.settings.max_files
    )


async def _infer(
    request: Request, runtime: Runtime, model: ServedModel, asked: InferenceRequest
) -> Inference:
    predictor = runtime.predictor()
    async with admitted(request, runtime, len(asked.images)):
        try:
            return await run_inference(predictor, model, asked, trace_of(request.scope))
        except (InferenceFailed, FileFailed) as error:
            log_failure(runtime.log, error, request_id_of(request.scope))
            raise


def _answer(
    request: Request, runtime: Runtime, asked: InferenceRequest, inference: Inference
) -> Response:
    trace, started = trace_of(request.scope), time.perf_counter()
    answer = inference_answer(
        inference.model.manifest,
        asked.id,
        asked.outputs,
        inference.outputs,
        inference.model.precision,
    )
    encode_s = time.perf_counter() - started
    trace.stage("encode", encode_s)
    runtime.metrics.inference(inference, encode_s)
    return _response(answer)


def _response(answer: InferenceBody) -> Response:
    if answer.header_length is None:
        return Response(answer.content, media_type=JSON)
    headers = {HEADER_LENGTH: str(answer.header_length)}
    return Response(answer.content, media_type=BINARY, headers=headers)


def _model(request: Request) -> ServedModel:
    """The model that the path names.

    Raises:
        UnknownModel: There is no such model or version.
        NotReady: The models are not loaded.
        ShuttingDown: New work is not taken any more.
    """
    repository = runtime_of(request).predictor().repository
    name, version = request.path_params["name"], request.path_params.get("version")
    if version is None:
        return repository.get(name)
    if not (version.isascii() and version.isdigit()) or len(version) > _MAX_VERSION_DIGITS:
        raise UnknownModel("The version of a model is a number.")
    return repository.get(name, int(version))
