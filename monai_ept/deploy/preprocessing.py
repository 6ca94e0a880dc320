# SPDX-License-Identifier: Apache-2.0

"""Our transforms of images as plain MONAI transforms in a configuration, for whoever has MONAI and not this package."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from monai.transforms import Compose, EnsureTyped, Lambdad, NormalizeIntensityd, Orientationd, ScaleIntensityRange

from monai_ept.data.image_transforms import BytesToUnitd, LoadRecordd, RepairChannelsd, ResizeImaged, UnitIntensityd

__all__ = ["plain_preprocessing"]

IMAGE = "image"
_GREY = "torch.tensor([0.299, 0.587, 0.114])"  # as in RepairChannelsd
_UPRIGHT = (
    "$lambda picture: (lambda upright: upright if upright.mode in ('L', 'RGB', 'I', 'I;16', 'F') else "
    "upright.convert({'1': 'L', 'LA': 'L', 'La': 'L', 'I;16B': 'I', 'I;16L': 'I;16', 'I;16N': 'I;16'}"
    ".get(upright.mode, 'RGB')))(ImageOps.exif_transpose(picture))"
)
# Where its readers fail, LoadImage goes on with MONAI's defaults, which put columns first, and says nothing.
_OF_ANOTHER = (
    "any((key == 'format' and value not in (None, 'none')) or '|' in str(key) or str(key).startswith('ITK') "
    "for key, value in getattr(x, 'meta', {}).items())"
)
# What a palette or several frames of DICOM show is not what their numbers are, or how many.
_OF_FRAMES = "int((x.meta.get('00280008') or {'Value': [1]})['Value'][0]) > 1"
_OF_A_PALETTE = "'PALETTE COLOR' in str(x.meta.get('00280004'))"
_REFUSAL = "this file cannot be read as the training has read its images"


def plain_preprocessing(transforms: Compose) -> dict[str, Any]:
    """
    What ``eval_transforms`` returns, as the configuration of a ``Compose`` of MONAI's own transforms.

    What MONAI has no transform for is a ``Lambdad`` with one expression in it. Those of pictures need ``ImageOps``
    of Pillow imported, all others what MONAI's parser knows by itself.

    Args:
        transforms: the transforms.

    Raises:
        TypeError: for a transform that nothing here stands for.
    """
    dims = next(step.spatial_dims for step in transforms.transforms if isinstance(step, LoadRecordd))
    steps = [plain for step in transforms.transforms for plain in _plain(step, dims)]
    # Empty meta data, since MONAI Deploy and MONAI Label ask each image for them.
    steps[-1] = _step("EnsureTyped", dtype="$torch.float32", track_meta=True)
    return {"_target_": "monai.transforms.Compose", "transforms": steps}


def _step(name: str, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"monai.transforms.{name}", "keys": IMAGE, **settings}


def _each(expression: str) -> dict[str, Any]:
    """What an expression makes of an image ``x``."""
    return _step("Lambdad", func=f"$lambda x: {expression}")


@singledispatch
def _plain(step: Any, dims: int) -> list[dict[str, Any]]:
    raise TypeError(f"{type(step).__name__} is no transform that plain MONAI has words for: use eval_transforms.")


@_plain.register
def _(step: LoadRecordd, dims: int) -> list[dict[str, Any]]:
    readers = [_reader("NumpyReader"), _reader("NibabelReader")]
    # With all of the header, which says whether bone is bright.
    dicom = _reader("PydicomReader", swap_ij=False, prune_metadata=False)
    if dims == 2:
        readers += [dicom, _reader("PILReader", converter=_UPRIGHT, reverse_indexing=False)]
    else:
        readers.insert(1, dicom)
    return [
        _step("LoadImaged", reader=readers, dtype=None, image_only=True),  # MONAI tries the last reader first
        _each(f"(x if not ({_strange(dims)}) else (_ for _ in ()).throw(ValueError({_REFUSAL!r})))"),
        _each("x.max() + x.min() - x if 'MONOCHROME1' in str(getattr(x, 'meta', {}).get('00280004')) else x"),
        _each(f"x[None] if x.ndim == {dims} else x.movedim(-1 if x.shape[-1] <= 4 else 0, 0)"),
    ]


def _strange(dims: int) -> str:
    """Whether a file was read in another way than in a training."""
    return " or ".join([_OF_ANOTHER, _OF_A_PALETTE, *([_OF_FRAMES] if dims == 2 else [])])


def _reader(name: str, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"monai.data.{name}", **settings}


@_plain.register
def _(step: Orientationd, dims: int) -> list[dict[str, Any]]:
    labels = [list(pair) for pair in step.ornt_transform.labels or ()]
    return [_step("Orientationd", axcodes=step.ornt_transform.axcodes, labels=labels)]


@_plain.register
def _(step: RepairChannelsd, dims: int) -> list[dict[str, Any]]:
    wanted, others = step.in_channels, ", 1" * dims
    steps = []
    if dims == 2 and wanted in (1, 3):
        steps.append(_each("x[:-1] if x.shape[0] in (2, 4) else x"))  # alpha
    if wanted > 1:
        return [*steps, _each(f"x.repeat({wanted}{others}) if x.shape[0] == 1 else x")]
    grey = f"(x.float() * {_GREY}.reshape(3{others})).sum(0, keepdim=True)"
    whole = "(lambda grey: grey if x.is_floating_point() else grey.round().to(x.dtype))"
    return [*steps, _each(f"{whole}({grey}) if x.shape[0] == 3 else x")]


@_plain.register
def _(step: UnitIntensityd, dims: int) -> list[dict[str, Any]]:
    steps = [_each("x.to(torch.uint8) * 255 if x.dtype == torch.bool else x")]
    if isinstance(step.scale, ScaleIntensityRange):
        low, high = float(step.scale.a_min), float(step.scale.a_max)
        return [*steps, _step("ScaleIntensityRanged", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True)]
    return [*steps, _each("x if x.dtype == torch.uint8 else monai.transforms.ScaleIntensity(0.0, 1.0)(x.float())")]


@_plain.register
def _(step: BytesToUnitd, dims: int) -> list[dict[str, Any]]:
    return [_each("x.float() / 255 if x.dtype == torch.uint8 else x")]


@_plain.register
def _(step: EnsureTyped, dims: int) -> list[dict[str, Any]]:
    return [_step("EnsureTyped", track_meta=False)]


@_plain.register
def _(step: Lambdad, dims: int) -> list[dict[str, Any]]:
    if IMAGE in step.keys:
        raise TypeError("a function of images that only this package has cannot go into a bundle of plain MONAI.")
    return []  # of labels


@_plain.register
def _(step: NormalizeIntensityd, dims: int) -> list[dict[str, Any]]:
    known: Any = step.normalizer
    numbers = {"subtrahend": known.subtrahend.tolist(), "divisor": known.divisor.tolist()}
    return [_step("NormalizeIntensityd", **numbers, channel_wise=True)]


@_plain.register
def _(step: ResizeImaged, dims: int) -> list[dict[str, Any]]:
    target = list(step.spatial_size)
    smooth = step.mode != "nearest"
    if dims == 3 and smooth:
        if not step.keep_aspect:
            return [_step("Resized", spatial_size=target, mode="trilinear", anti_aliasing=True)]
        resized = "monai.transforms.Resize({size}, mode='trilinear', anti_aliasing=True)(x)"
    elif smooth:
        mode = "bilinear" if step.mode == "trilinear" else step.mode
        # MONAI smooths with a Gaussian; networks were pretrained with PIL's filter, which is torch's.
        resized = f"torch.nn.functional.interpolate(x[None], {{size}}, mode='{mode}', antialias=True)[0].clamp(0, 1)"
    else:
        resized = "torch.nn.functional.interpolate(x[None], {size}, mode='nearest-exact')[0]"
    if not step.keep_aspect:
        return [_each(resized.format(size=target))]
    sizes = f"zip({target}, x.shape[1:])"
    factor = f"min(want / have for want, have in {sizes})"
    fitted = f"[min(want, max(1, round(have * factor))) for want, have in {sizes}]"
    return [
        _each(f"(lambda size: {resized.format(size='size')})((lambda factor: {fitted})({factor}))"),
        _step("SpatialPadd", spatial_size=target, method="symmetric"),
    ]
