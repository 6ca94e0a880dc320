# SPDX-License-Identifier: Apache-2.0

"""How MLflow's scoring server says that it cannot answer."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["refusal", "refusals", "say_no_more_than_why"]

REFUSED = "IMAGES_REFUSED"


def refusal(sentence: str, status: int = 400) -> Exception:
    """An error that MLflow's server answers with that status, and with nothing but the sentence."""
    from mlflow.exceptions import MlflowException, get_error_code

    return MlflowException(sentence, get_error_code(status), error_class=REFUSED)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what is wrong with a request into a refusal, and a failure of the network into a status 500."""
    try:
        yield
    except ValueError as error:
        raise refusal(str(error)) from None
    except RuntimeError as error:  # no memory left, for one
        logging.getLogger(__name__).exception("the network failed")
        raise refusal("the network failed on these images; the server's log says why.", 500) from error


def say_no_more_than_why(columns: Sequence[str] = ("image",)) -> None:
    """
    Let MLflow's scoring server, where this process is one, leave out of its errors what was sent.

    It repeats a request that it cannot parse, and the beginning of one that a model refuses, which may be an image of a
    patient.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    if scoring_server._SERVER_MODEL_PATH not in os.environ:
        return
    like = {"dataframe_split": {"columns": list(columns), "data": [["…"] * len(columns)]}}
    unreadable = (
        f"the request cannot be read: it must be JSON like {json.dumps(like, ensure_ascii=False)}, with the bytes of "
        "an image file in base64."
    )
    serve = scoring_server.invocations

    @functools.wraps(serve)
    def invocations(data: Any, content_type: str | None, *others: Any) -> Any:
        try:
            return serve(data, content_type or "", *others)
        except MlflowException as error:
            if error.error_class != REFUSED:
                raise refusal(unreadable) from None
            error.message = error.args[0]  # MLflow has put the request before it
            raise

    scoring_server.invocations = invocations
