"""``POST /predict``: images in, findings out."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.answers import render
from service.auth import Requires
from service.errors import ServiceError
from service.logs import log_failure
from service.openapi import IMAGE_BODY, PREDICT_BODY, problem_responses, query_parameters
from service.prediction import Prediction, PredictionOptions, Rejection, Upload
from service.priorities import Priority
from service.problems import request_id_of
from service.routes.admitted import admitted
from service.routes.bodies import JSON
from service.runtime import Runtime, runtime_of
from service.schemas import PredictionBody, PredictQuery
from service.tracing import trace_of
from service.uploads import read_uploads

router = APIRouter(tags=["prediction"])
_NO_QUERY = PredictQuery()


_documented: dict[str, Any] = {
    "response_model": PredictionBody,
    "responses": problem_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    "dependencies": [Depends(Requires("predict"))],
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
    openapi_extra={**query_parameters(PredictQuery), **PREDICT_BODY},
    **_documented,
)
async def predict(request: Request) -> Response:
    """Say which findings each image shows, or refer it to a person.

    Each file gets one result, in order. A file that cannot be read gets a problem in its place, and
    the others are answered all the same; one file alone that cannot be read answers with that
    problem's own status. Research only. Not for diagnosis.
    """
    runtime = runtime_of(request)
    query = _query(request)
    # Before a byte of the body is read: there is no point in an upload that would be refused.
    runtime.predictor()
    runtime.check_engines()
    runtime.admission.check()
    uploads = await read_uploads(request, runtime.settings.max_files)
    prediction = await _predict(request, runtime, uploads, _options(query, request))
    _report_failures(runtime, prediction, request)
    first, *others = prediction.results
    if isinstance(first, Rejection) and not others:
        runtime.metrics.prediction(prediction)
        raise first.error
    started = time.perf_counter()
    request_id = request_id_of(request.scope)
    if query.explain == "none":
        content = render(prediction, request_id)
    else:
        # Heatmaps are large enough to be felt on the event loop.
        content = await asyncio.to_thread(render, prediction, request_id)
    encode_s = time.perf_counter() - started
    trace_of(request.scope).stage("encode", encode_s)
    runtime.metrics.prediction(prediction, encode_s)
    return Response(content, media_type=JSON)


async def _predict(
    request: Request, runtime: Runtime, uploads: tuple[Upload, ...], options: PredictionOptions
) -> Prediction:
    """Predict within the deadline, while somebody waits for it."""
    predictor = runtime.predictor()
    async with admitted(request, runtime, len(uploads)):
        return await predictor.predict(uploads, options)


def _report_failures(runtime: Runtime, prediction: Prediction, request: Request) -> None:
    """Tell the operator of what failed through no fault of the file."""
    for result in prediction.results:
        if isinstance(result, Rejection) and isinstance(result.error, ServiceError):
            log_failure(runtime.log, result.error, request_id_of(request.scope))


def _query(request: Request) -> PredictQuery:
    """Read the query by hand: FastAPI's way takes a sixth of a request's time on the loop."""
    if not request.scope["query_string"]:
        return _NO_QUERY
    try:
        return PredictQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _options(query: PredictQuery, request: Request) -> PredictionOptions:
    return PredictionOptions(
        model=query.model,
        version=query.version,
        heatmap=query.explain == "heatmap",
        frame=query.frame,
        priority=Priority[query.priority.upper()],
        trace=trace_of(request.scope),
    )
