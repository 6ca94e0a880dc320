# SPDX-License-Identifier: Apache-2.0

"""Sweeps: methods × data × shots × samplings × seeds, run on one machine or a Ray cluster, and their report."""

from __future__ import annotations
