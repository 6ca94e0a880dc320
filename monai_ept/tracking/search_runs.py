# SPDX-License-Identifier: Apache-2.0

"""Finding runs in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monai_ept.tracking.address import missing_database, tracking_store, without_password
from monai_ept.tracking.mlflow_client import answers, open_client

__all__ = ["search_runs"]


def search_runs(tracking_uri: str | None = None, experiments: Sequence[str] = (), query: str = "") -> list[Any]:
    """All runs that a query finds, however many pages of them there are.

    Args:
        experiments: names of those to search; all by default.
        query: in MLflow's language, for example ``"tags.sweep = 'first'"``; everything by default.

    Raises:
        ValueError: when there is no such database or experiment.
        ConnectionError: when the store does not answer.

    Returns:
        MLflow's runs.
    """
    uri = tracking_store(tracking_uri)
    where = without_password(uri)
    if missing_database(uri):
        raise ValueError(f"there is no {where}: look where the trainings ran, or pass its tracking_uri.")
    runs: list[Any] = []
    with answers(uri, ConnectionError):
        client = open_client(uri)
        known = {item.name: item.experiment_id for item in _pages(client.search_experiments)}
        unknown = [name for name in experiments if name not in known]
        if not unknown:
            ids = [known[name] for name in experiments] or list(known.values())
            runs = list(_pages(client.search_runs, experiment_ids=ids, filter_string=query))
    if unknown:
        raise ValueError(f"there is no experiment {unknown[0]!r} at {where}; there is {', '.join(sorted(known))}.")
    return runs


def _pages(search: Any, **arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return
