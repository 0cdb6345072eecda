# mypy: ignore-errors
"""Uploads with what openapi-generator generated: ``URL IMAGE``."""

import json
import sys
from pathlib import Path
from typing import Any

from openapi_client import ApiClient, Configuration, PredictionApi
from openapi_client.exceptions import UnprocessableEntityException

url, image = sys.argv[1], Path(sys.argv[2]).read_bytes()
LETTER = ("letter.txt", b"a letter")


def words(prediction: Any) -> list[str]:
    answers = [result.actual_instance for result in prediction.results]
    return [answer.decision if answer.status == "ok" else answer.problem.type for answer in answers]


api = PredictionApi(ApiClient(Configuration(host=url)))
files = api.predict(file=[("chest.jpeg", image), LETTER])
whole = api.predict_image(body=image)
try:
    api.predict(file=[LETTER])
except UnprocessableEntityException as refused:
    problem = json.loads(refused.body)["type"]

told = {"files": words(files), "whole": words(whole), "problem": problem}
sys.stdout.write(json.dumps(told))
