# SPDX-License-Identifier: Apache-2.0

"""The pictures of an analysis: ``draw_NAME`` makes the figure that is written as ``NAME.png``."""
