# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import jinja2
import pytest

from monai_ept.reporting.prose import sentences

WORDS = """
{% macro kept(share, layers) %}
Patches keep {{ share | percent(0) }} of their
attention.
{% if layers %}

Layers {{ layers | join(" & ") }} <b>differ</b>.
{% endif %}
{% endmacro %}
"""


def test_each_paragraph_is_a_sentence_with_its_numbers_filled_in(tmp_path):
    path = tmp_path / "words.jinja"
    path.write_text(WORDS)
    assert sentences(path, "kept", share=0.366, layers=[]) == ["Patches keep 37 % of their attention."]
    assert sentences(path, "kept", share=0.5, layers=["1", "2"])[1] == "Layers 1 & 2 <b>differ</b>."
    with pytest.raises(jinja2.UndefinedError):
        sentences(path, "kept", layers=[])
