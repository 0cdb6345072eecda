# mypy: ignore-errors
"""Uploads with what openapi-python-client generated: ``URL IMAGE``."""

import io
import json
import sys
from pathlib import Path
from typing import Any

from generated import Client
from generated.api.prediction import predict, predict_image
from generated.models import ImageAnswer, PredictBody
from generated.types import File

url, image = sys.argv[1], Path(sys.argv[2]).read_bytes()


def file(data: bytes, name: str) -> File:
    return File(payload=io.BytesIO(data), file_name=name)


def upload(*files: File) -> Any:
    return predict.sync(client=client, body=PredictBody(file=list(files)))


def words(prediction: Any) -> list[str]:
    return [
        result.decision if isinstance(result, ImageAnswer) else result.problem.type_
        for result in prediction.results
    ]


client = Client(base_url=url)
files = upload(file(image, "chest.jpeg"), file(b"a letter", "letter.txt"))
whole = predict_image.sync(client=client, body=file(image, "chest.jpeg"))
refused = upload(file(b"a letter", "letter.txt"))

told = {"files": words(files), "whole": words(whole), "problem": refused.type_}
sys.stdout.write(json.dumps(told))
