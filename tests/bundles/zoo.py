# SPDX-License-Identifier: Apache-2.0

"""What MONAI's Model Zoo asks of a bundle, as far as it can be asked offline."""

from __future__ import annotations

HEADINGS = (
    "# Model Overview",
    "## Data",
    "### Preprocessing",
    "## Training configuration",
    "### Input",
    "### Output",
    "## Performance",
    "## MONAI Bundle Commands",
    "# References",
    "# License",
)

# What MONAI's published schema asks of a bundle's metadata, as far as it concerns ours.
TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data"],
    "properties": {
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "dtype": {"enum": ["float32"]},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"}
SCHEMA = {
    "type": "object",
    "required": [
        "schema",
        "version",
        "changelog",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "required_packages_version",
        "name",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    ],
    "properties": {
        **dict.fromkeys(("version", "monai_version", "pytorch_version", "numpy_version"), VERSION),
        "changelog": {"type": "object", "minProperties": 1},
        "required_packages_version": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "properties": {
                "inputs": {"type": "object", "required": ["image"], "additionalProperties": TENSOR},
                "outputs": {"type": "object", "required": ["pred"], "additionalProperties": TENSOR},
            },
            "required": ["inputs", "outputs"],
        },
    },
}
