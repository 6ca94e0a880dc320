# SPDX-License-Identifier: Apache-2.0

"""``report.html`` of a training: what it says, and that a browser shows all of it without asking anybody."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from monai_ept import fit
from tests.engines.scenes import CLASSES, pictures, small_net, small_split

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    positive = {"name": CLASSES[1], "operating_point": 0.3, "prevalence": 0.1}
    data = pictures()
    settings = {"recipe": {"name": "train", "epochs": 2, "num_resamples": 50}, "positive": positive}
    folder = tmp_path_factory.mktemp("report") / "run"
    return fit(small_net(), small_split(data), out_dir=folder, track=False, progress=False, **settings)


def test_the_page_says_what_was_found(trained):
    page = (trained.folder / "report.html").read_text(encoding="utf-8")

    for words in ("In short", "a linear head on the frozen backbone", "Each class", "Data and split", "Training",
                  f"{CLASSES[1]} against the rest", "claimed from a probability of 0.300 on", "Prediction sets",
                  "2 epochs of adamw", "The worst mistakes", "how to repeat it"):  # fmt: skip
        assert words in page, words
    assert f"{trained.metrics['balanced_accuracy']:.3f}" in page
    assert str(trained.folder) in page or "FitResult.load" in page
    assert trained.paths["page"] == trained.folder / "report.html"


def test_the_page_asks_nobody(trained):
    page = (trained.folder / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)

    assert len([one for one in sources if one.startswith("data:image/")]) >= 6
    assert all(one.startswith(("data:image/", "#")) for one in sources) and "<script" not in page


def test_a_browser_shows_every_picture(trained, tmp_path):
    """The browser has nothing to complain of, and a script beside the page counts pictures."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome is installed, which a page is opened with here")
    page = (trained.folder / "report.html").read_text(encoding="utf-8")
    # The page's own policy forbids scripts, this one too: it is loosened in the copy for the one that counts.
    count = (
        "<script>addEventListener('load',()=>{const all=[...document.images];document.title=JSON.stringify({"
        "pictures:all.length,shown:all.filter(one=>one.complete&&one.naturalWidth>0).length,"
        "asked:performance.getEntriesByType('resource').filter(one=>!one.name.startsWith('data:')).length})})</script>"
    )
    copy = tmp_path / "page.html"
    loosened = page.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    copy.write_text(loosened.replace("</body>", f"{count}</body>"), encoding="utf-8")
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=10000", "--dump-dom", copy.as_uri()),
    ]
    shown = subprocess.run(command, capture_output=True, text=True)

    found = json.loads(re.search(r"<title>(\{.*?\})</title>", shown.stdout)[1].replace("&quot;", '"'))
    assert found["pictures"] == found["shown"] >= 6 and found["asked"] == 0
    assert "CONSOLE" not in shown.stderr, shown.stderr  # refused by the policy, or wrong
