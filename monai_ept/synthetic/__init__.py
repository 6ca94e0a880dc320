# SPDX-License-Identifier: Apache-2.0

"""Painters of synthetic pictures: arithmetic in numpy that gives the same bits on every machine."""
