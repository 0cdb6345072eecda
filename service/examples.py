"""The answer to /predict that the OpenAPI document shows."""

from typing import Any

MODEL: dict[str, Any] = {
    "name": "xray-pneumonia",
    "version": 1,
    "digest": f"sha256:{'0' * 64}",
    "intended_use": "Research only. Not for diagnosis.",
}
PREDICTION: dict[str, Any] = {
    "id": "0199a3c4-5f1e-7c3b-9d2a-6b8f0e1d2c3b",
    "model": MODEL,
    "execution_provider": "CPUExecutionProvider",
    "precision": "fp32",
    "results": [
        {
            "file": "chest.dcm",
            "sha256": "0" * 64,
            "status": "ok",
            "model": MODEL,
            "image": {
                "format": "DICOM",
                "frame": 1,
                "frames": 1,
                "rows": 2400,
                "columns": 2400,
                "turned": "turned by 180 degrees",
                "modality": "DX",
                "view_position": "PA",
                "sop_instance_uid": "2.25.1",
                "series_instance_uid": "2.25.2",
                "study_instance_uid": "2.25.3",
            },
            "decision": "pneumonia",
            "reasons": [],
            "findings": [
                {
                    "label": "normal",
                    "code": {"system": "http://snomed.info/sct", "code": "17621005"},
                    "probability": 0.03,
                    "operating_point": 0.59,
                    "present": False,
                },
                {
                    "label": "pneumonia",
                    "code": {"system": "http://snomed.info/sct", "code": "233604007"},
                    "probability": 0.97,
                    "operating_point": 0.41,
                    "present": True,
                },
            ],
            "quality": {
                "accepted": True,
                "checks": [
                    {
                        "name": "exposure",
                        "value": 0.48,
                        "lower": 0.1,
                        "upper": 0.9,
                        "passed": True,
                        "advice": None,
                    }
                ],
            },
            "out_of_distribution": {"score": 1.3, "limit": 4.2, "accepted": True},
            "evidence": {
                "source": "kermany_224",
                "distance": 0.62,
                "findings": ["normal", "pneumonia"],
                "sentence": "Like images of kermany_224: of 390 held-out images called pneumonia, "
                "381 were.",
            },
            "heatmap": {
                "label": "pneumonia",
                "media_type": "image/png",
                "data": "iVBORw0KGgo=",
                "width": 1024,
                "height": 1024,
                "inside_lungs": 0.81,
            },
            "lungs": {
                "media_type": "image/png",
                "data": "iVBORw0KGgo=",
                "width": 1024,
                "height": 1024,
            },
        }
    ],
    "timing_ms": {"decode": 2.9, "queue": 0.4, "inference": 1.9, "total": 5.6},
}
