"""``POST /predict``: images in, findings out; the one route that carries the load.

FastAPI's own way to an endpoint takes a fifth of a request's time, for things that this one has no
use for. It is a route of FastAPI all the same, which documents it and answers every other method.
"""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.fhir import MEDIA_TYPE as FHIR
from service.answers import as_bundle, write_answer
from service.auth import Requires
from service.domain import ImageFailure
from service.headers import JSON, accept_of, uuid7, wants_fhir
from service.logs import log_failure
from service.openapi import IMAGE_BODY, form_body, problem_responses, query_parameters
from service.problems import ANSWERED, error_response, request_id_of
from service.runtime import runtime_of
from service.schemas import PredictionBody, PredictQuery
from service.tracing import trace_of
from service.trail import predictions
from service.uploads import read_form, read_parameters

router = APIRouter(tags=["prediction"])
_NO_QUERY = PredictQuery()
_may_predict = Requires("predict")
_answered = {
    "description": (
        f"What the model says of each image; of one image, as a FHIR R4 transaction Bundle, where "
        f"Accept names {FHIR} and not {JSON}."
    ),
    "content": {FHIR: {"schema": {"type": "object"}}},
}
_documented: dict[str, Any] = {
    "response_model": PredictionBody,
    "responses": {
        200: _answered,
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
    "dependencies": [Depends(_may_predict)],
}


@router.post(
    "/predict/image",
    summary="Read one chest image, the whole body",
    operation_id="predict_image",
    openapi_extra={**query_parameters(PredictQuery), **IMAGE_BODY},
    **_documented,
)
@router.post(
    "/predict",
    summary="Read chest images",
    openapi_extra={**query_parameters(PredictQuery), **form_body(PredictQuery)},
    **_documented,
)
async def predict(request: Request) -> Response:
    """Say which findings each image shows, or refer it to a person.

    Each file gets one result, in order. A file that cannot be read gets a problem in its place, and
    the others are answered all the same; one file alone that cannot be read answers with that
    problem's own status. Several slices of one CT series get one more answer, in `series`. Research
    only. Not for diagnosis.
    """
    runtime = runtime_of(request)
    query, trace = _NO_QUERY, trace_of(request.scope)
    if request.scope["query_string"]:
        query = read_parameters(request.query_params.multi_items())
    # Before a byte of the body is read: there is no point in an upload that would be refused.
    runtime.predictor()
    runtime.admission.check()
    as_fhir = wants_fhir(accept_of(request.scope))
    files, fields = await read_form(request, 1 if as_fhir else runtime.settings.max_files)
    if fields:
        query = read_parameters((*request.query_params.multi_items(), *fields))
    predictor = runtime.predictor()
    async with runtime.admitted(request, len(files)):
        prediction = await predictor.predict(files, query, trace.stage)
    request_id = request_id_of(request.scope)
    failures = [each.error for each in prediction.results if isinstance(each, ImageFailure)]
    for error in failures:
        log_failure(runtime.log, error, request_id)
    answer_id = str(uuid7())
    if runtime.trail is not None:
        await runtime.trail.write(*predictions(request, prediction, answer_id))
    if failures and len(prediction.results) == 1:
        runtime.metrics.prediction(prediction)
        raise failures[0]
    started = time.perf_counter()
    ids, uids = (answer_id, request_id), runtime.settings.echo_uids
    if query.heatmap:
        # Heatmaps are large enough to be felt on the event loop.
        content = await asyncio.to_thread(write_answer, prediction, *ids, uids=uids)
    else:
        content = write_answer(prediction, *ids, uids=uids)
    encode_s = time.perf_counter() - started
    trace.stage("encode", encode_s)
    runtime.metrics.prediction(prediction, encode_s)
    if as_fhir:
        return Response(as_bundle(content), media_type=FHIR)
    return Response(content, media_type=JSON)


class PredictFirst:
    """Calls the endpoint itself, and leaves all else to the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes = {each.path: each for each in router.routes if isinstance(each, APIRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a post of images, or pass a request on."""
        posted = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(scope["path"]) if posted else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            await _may_predict(request)
            response = await predict(request)
        except ANSWERED as error:
            response = error_response(error, request_id_of(scope))
            # Its frames hold the upload, and one of them the error: a cycle that would keep the
            # bytes until the garbage collector comes by, long after they were given back.
            error.with_traceback(None)
        await response(scope, receive, send)
