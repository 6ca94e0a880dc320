# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from monai_ept.handlers.notebook_bar import in_notebook

CELL = """
import torch
from monai.engines import SupervisedTrainer
from monai_ept.handlers import Progress
from monai_ept.handlers.notebook_bar import in_notebook

assert in_notebook()
net = torch.nn.Linear(2, 2)
trainer = SupervisedTrainer(
    device=torch.device("cpu"),
    max_epochs=3,
    train_data_loader=[{"image": torch.rand(4, 2), "label": torch.zeros(4, dtype=torch.long)}] * 2,
    network=net,
    optimizer=torch.optim.SGD(net.parameters(), lr=0.5),
    loss_function=torch.nn.CrossEntropyLoss(),
    train_handlers=[Progress()],
    decollate=False,
)
trainer.run()
"""


@pytest.mark.slow
def test_a_training_in_a_kernel_shows_one_bar_that_is_full_at_its_end(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    (shown,) = [output for output in book.cells[0].outputs if output.output_type == "display_data"]
    assert '<progress value="6" max="6"' in shown.data["text/html"]
    assert "epoch 3/3" in shown.data["text/html"] and "lr 5.00e-01" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("epoch 3/3 100%|")
    written = "".join(output.text for output in book.cells[0].outputs if output.output_type == "stream")
    assert "epoch" not in written  # no line for each epoch beside it


def test_elsewhere_there_is_no_notebook():
    assert not in_notebook()
