# SPDX-License-Identifier: Apache-2.0

"""Measurements whose figures stand in the docs."""
