# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import zipfile

import pytest

from monai_ept.handlers.sealed_file import is_intact, is_sealed, sealed


@pytest.fixture
def content():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", "some text " * 20)
    return buffer.getvalue()


def test_other_programs_read_it_as_before(content):
    with zipfile.ZipFile(io.BytesIO(sealed(content))) as file:
        assert file.read("a") == b"some text " * 20


def test_every_bit_counts(content):
    whole = sealed(content)
    assert is_sealed(whole) and is_intact(whole)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        assert not is_sealed(bytes(flipped)) or not is_intact(bytes(flipped))


def test_without_a_checksum_the_parts_count(content):
    assert not is_sealed(content) and is_intact(content)
    assert not is_intact(content.replace(b"some", b"sone", 1))
    assert not is_intact(content[:-1])
