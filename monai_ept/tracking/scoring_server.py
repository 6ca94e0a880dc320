# SPDX-License-Identifier: Apache-2.0

"""How MLflow's scoring server says that it cannot answer."""

from __future__ import annotations

import functools
import os
from typing import Any

__all__ = ["refusal", "say_no_more_than_why"]

REFUSED = "IMAGES_REFUSED"
UNREADABLE = (
    'the request cannot be read: it must be JSON like {"dataframe_split": {"columns": ["image"], "data": [["…"]]}}, '
    "with the bytes of an image file in base64."
)


def refusal(sentence: str, status: int = 400) -> Exception:
    """An error that MLflow's server answers with that status, and with nothing but the sentence."""
    from mlflow.exceptions import MlflowException, get_error_code

    return MlflowException(sentence, get_error_code(status), error_class=REFUSED)


def say_no_more_than_why() -> None:
    """
    Let MLflow's scoring server, where this process is one, leave out of its errors what was sent.

    It repeats a request that it cannot parse, and the beginning of one that a model refuses, which may be an image of a
    patient.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    if scoring_server._SERVER_MODEL_PATH not in os.environ:
        return
    serve = scoring_server.invocations

    @functools.wraps(serve)
    def invocations(data: Any, content_type: str | None, *others: Any) -> Any:
        try:
            return serve(data, content_type or "", *others)
        except MlflowException as error:
            if error.error_class != REFUSED:
                raise refusal(UNREADABLE) from None
            error.message = error.args[0]  # MLflow has put the request before it
            raise

    scoring_server.invocations = invocations
