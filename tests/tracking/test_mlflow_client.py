# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import http.server
import os
import threading

import pytest

from monai_ept.tracking.mlflow_client import SETTINGS, answers, open_client, patience, trouble_of
from tests.tracking.scenes import NOWHERE


def test_patience_is_given_back_and_the_users_own_stays(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(os.environ)
    with patience():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        with patience():
            pass
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert dict(os.environ) == before


def trouble_with(uri: str) -> str:
    with patience():
        try:
            open_client(uri).search_experiments()
        except Exception as error:
            return str(trouble_of(error, uri))
    return ""


class Answer(http.server.BaseHTTPRequestHandler):
    """The same to every question."""

    status, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"who are you", "does not let you in (401): set MLFLOW_TRACKING_TOKEN"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', "does not let you in (403)"),
        (404, b"<html>not here</html>", "answers, but not as MLflow does"),
        (200, b"<html>hello</html>", "answers, but not as MLflow does"),
        (502, b"<html>bad gateway</html>", "does not answer (it has an error of its own): try again later"),
        (
            500,
            b'{"error_code": "INTERNAL_ERROR", "message": "broken"}',
            "does not answer (it has an error of its own): try again later",
        ),
        (
            400,
            b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "odd"}',
            "does not take it (INVALID_PARAMETER_VALUE: odd)",
        ),
    ],
)
def test_what_a_server_answers_is_told_apart(status, body, says):
    """Only where waiting can help is it the advice."""
    handler = type("Handler", (Answer,), {"status": status, "body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        said = trouble_with(f"http://me:secret@127.0.0.1:{server.server_port}/")
        server.shutdown()
    assert says in said and "secret" not in said
    assert ("try again later" in said) == (status >= 500)


def test_a_server_that_is_not_there_is_tried_again_later():
    assert trouble_with(NOWHERE) == f"MLflow at {NOWHERE} does not answer (connection refused): try again later"
    says = r"the question: MLflow at .* does not answer .*: try again later\.$"
    with pytest.raises(ConnectionError, match=says), answers(NOWHERE, ConnectionError, "the question"):
        open_client(NOWHERE).search_experiments()
