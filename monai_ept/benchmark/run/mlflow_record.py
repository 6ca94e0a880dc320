# SPDX-License-Identifier: Apache-2.0

"""A finished cell as a run in MLflow."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from monai_ept.files import file_name
from monai_ept.handlers.mlflow_tracking import flat_metrics

if TYPE_CHECKING:
    from monai_ept.tracking import TrackedRun

__all__ = ["Recorder", "checked_store"]

logger = logging.getLogger(__name__)


def checked_store(tracking_uri: str | None, experiment: str | None) -> str:
    """
    The address of the store, if records of a sweep can go there.

    Args:
        experiment: the experiment; None takes each cell's source.

    Raises:
        ValueError: when MLflow refuses the address or the name, or the database is another program's.
    """
    from monai_ept.tracking import tracking_store
    from monai_ept.tracking.address import database_path
    from monai_ept.tracking.local_database import check_database
    from monai_ept.tracking.tracked_run import check_run

    if experiment is not None:
        check_run(experiment)
    store = tracking_store(tracking_uri)
    if (path := database_path(store)) is not None:
        check_database(path)
    return store


class Recorder:
    """
    Records cells in MLflow, one after another, in a thread of its own: a local database is never written by two.

    A cell's run id is put into its ``result.json``; one without is recorded when the sweep goes on. The sweep itself is
    a run of each experiment, under which its cells are.

    Args:
        sweep: its name, the tag ``sweep``.
        experiment: the experiment, the cell's source by default.

    Raises:
        ValueError: when the store is one that MLflow refuses.
    """

    def __init__(
        self, folder: SweepFolder, sweep: str, tracking_uri: str | None = None, experiment: str | None = None
    ) -> None:
        from monai_ept.tracking import tracking_store

        self.uri = tracking_store(tracking_uri)
        self.folder, self.sweep, self.experiment = folder, sweep, experiment
        self._thread = ThreadPoolExecutor(1, "monai_ept sweep records")
        self.completed = False  # whether all that was to be done is done
        self._parents: dict[str, TrackedRun] = {}
        self._reached = False

    def put(self, cell: Cell) -> None:
        """Record a cell whose result has been written."""
        self._thread.submit(self._try, cell)

    def close(self) -> None:
        """Wait until all are recorded, and then the sweep itself."""
        self._thread.submit(self._close_parents)
        self._thread.shutdown()

    def _close_parents(self) -> None:
        from monai_ept.tracking import sync

        try:
            for run in self._parents.values():
                run.close("FINISHED" if self.completed else "KILLED")
            if self._reached:  # a store that is away is not asked once more
                sync([run.folder for run in self._parents.values()], tracking_uri=self.uri)
        except Exception as error:
            logger.warning(f"sweep {self.sweep} could not be recorded in MLflow: {error}")

    def _parent(self, experiment: str) -> TrackedRun:
        """The run of the sweep in an experiment: cells make it known to MLflow, its own records go out last."""
        from monai_ept.tracking import open_run, resume_run

        if experiment not in self._parents:
            place = self.folder.path / "mlflow" / file_name(experiment)
            store: dict[str, Any] = {"tracking_uri": self.uri, "upload": False}
            run = resume_run(place, **store)
            if run is None:
                tags = {"mlflow.note.content": f"The sweep **{self.sweep}**: its cells are the runs below."}
                run = open_run(place, self.sweep, experiment, tags=tags, **store)
                run.log_artifact(self.folder.path / "sweep.yaml")
            self._parents[experiment] = run
        return self._parents[experiment]

    def _try(self, cell: Cell) -> None:
        try:
            self._record(cell)
        except Exception as error:
            logger.warning(f"cell {cell.id} could not be recorded in MLflow: {error}")

    def _record(self, cell: Cell) -> None:
        from monai_ept.tracking import open_run, resume_run

        result = self.folder.result(cell)
        if result is None:
            return
        where = self.folder.cell(cell)
        params = {**result.get("params", {}), "source": cell.source}
        failed = result["status"] != "finished"
        tags = {
            "sweep": self.sweep,
            "cell": cell.id,
            "label": cell.label,
            **({"group": cell.group} if cell.group else {}),
            **({"grid": json.dumps(cell.grid)} if cell.grid else {}),
            **({"factors": json.dumps(cell.factors)} if cell.factors else {}),
            **({"error": result["error"]} if failed else {}),
        }
        run = resume_run(where, tracking_uri=self.uri, params=params)
        if run is None:
            run = open_run(
                where,
                f"{cell.label} {cell.shots}-shot {cell.source} split {cell.sampling} seed {cell.seed}",
                self.experiment or cell.source,
                tracking_uri=self.uri,
                params=params,
                tags=tags,
                began=datetime.fromisoformat(result["started"]).timestamp(),
                parent=self._parent(self.experiment or cell.source),
            )
        else:
            run.set_tags(tags)
        if "dataset" in result:  # not in one of an earlier release
            run.log_dataset(result["dataset"])
        for row in result.get("history", []):
            run.log_metrics({"train/loss": row["loss"], "train/lr": row["lr"]}, row["epoch"])
        final: dict[str, Any] = {"test": result["metrics"], "val": result["val_metrics"]}
        final["cost"] = {f"{key}_seconds": value for key, value in result["seconds"].items()}
        final["cost"]["peak_memory_mb"] = result.get("peak_memory_mb")
        final["moved"] = result.get("moved", {})
        run.log_metrics(dict(flat_metrics(final)))
        self._reached = run.close("FAILED" if failed else "FINISHED")
        if run.run_id:
            self.folder.write_result(cell, {**result, "run_id": run.run_id})
