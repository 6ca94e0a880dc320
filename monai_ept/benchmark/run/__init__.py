# SPDX-License-Identifier: Apache-2.0

"""From cells to their results."""
