# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from monai_ept.data.image_file import all_finite, channel_axis, check_sizes, nifti_header, no_regular_file, reason


def test_what_is_no_file_is_said_without_being_opened(tmp_path):
    (tmp_path / "file").touch()
    assert no_regular_file(tmp_path / "file") is None and no_regular_file(tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    assert no_regular_file(tmp_path / "pipe") == "is a named pipe and no image file: remove it"
    assert no_regular_file(tmp_path / "link") == "is a link to 'nowhere', which does not exist"
    assert no_regular_file(tmp_path / "none") == "does not exist"
    assert no_regular_file("/dev/null") == "is a device and no image file: remove it"
    assert no_regular_file("a\0b").startswith("cannot be read (ValueError: ")


def test_a_reason_is_one_line():
    assert reason(ValueError("bad\nworse")) == "ValueError: bad"
    assert reason(PermissionError(13, "Permission denied", "/a/long/path")) == "PermissionError: Permission denied"
    assert reason(KeyError()) == "KeyError: " and len(reason(ValueError("x" * 500))) == 212


def test_one_number_tells_what_is_not_finite():
    assert all_finite(np.array([1, 2])) and all_finite(np.array([1e38, 1e38], dtype=np.float32))
    for bad in (np.nan, np.inf, -np.inf):
        assert not all_finite(np.array([1.0, bad]))
    with np.errstate(invalid="ignore"):
        assert not all_finite(np.array([np.inf, -np.inf]))


@pytest.mark.parametrize(
    ("shape", "dims", "axis"),
    [((9, 8), 2, None), ((9, 8, 3), 2, -1), ((3, 9, 8), 2, 0), ((4, 4, 4), 2, -1), ((9, 8, 7, 1), 3, -1)],
)
def test_channels_are_last_or_first(shape, dims, axis):
    assert channel_axis(shape, dims, "it") == axis


def test_other_shapes_are_no_images():
    with pytest.raises(ValueError, match=r"it has shape \(9, 8, 7\), .*not 2-D with up to 4 channels; spatial_dims=3"):
        channel_axis((9, 8, 7), 2, "it")
    with pytest.raises(ValueError, match="not 3-D with up to 4 channels.$"):
        channel_axis((9, 8), 3, "it")


def test_nifti_that_says_what_cannot_be_is_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    voxels = np.zeros((4, 5, 6), np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "good.nii")
    assert nifti_header(tmp_path / "good.nii").shape == (4, 5, 6)
    content = (tmp_path / "good.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="it is cut off: its header promises 240 bytes of voxels"):
        nifti_header(tmp_path / "cut.nii")
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "good.nii.gz")
    assert nifti_header(tmp_path / "good.nii.gz").shape == (4, 5, 6)  # smaller than its voxels, and whole
    affine = np.eye(4)
    affine[0, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "nowhere.nii")
    with pytest.raises(ValueError, match="affine, the position in space"):
        nifti_header(tmp_path / "nowhere.nii")


def test_arrays_that_promise_more_than_there_is_are_not_made_room_for(tmp_path):
    array = np.zeros((3, 100), np.uint8)
    np.save(tmp_path / "good.npy", array)
    np.savez(tmp_path / "good.npz", a=array, b=array)
    for name in ("good.npy", "good.npz"):
        check_sizes(tmp_path / name)
    np.save(tmp_path / "bad.npy", array)
    content = (tmp_path / "bad.npy").read_bytes()
    (tmp_path / "bad.npy").write_bytes(content.replace(b"(3, 100)", b"(9, 100)"))
    with pytest.raises(ValueError, match=r"bad\.npy says that it has 900 bytes, but there are 428"):
        check_sizes(tmp_path / "bad.npy")
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as packed:
        packed.write(tmp_path / "bad.npy", "images.npy")
    with pytest.raises(ValueError, match="images says that it has 900 bytes"):
        check_sizes(tmp_path / "bad.npz")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"text\.npy is no array"):
        check_sizes(tmp_path / "text.npy")
