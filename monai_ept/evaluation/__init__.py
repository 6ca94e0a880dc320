# SPDX-License-Identifier: Apache-2.0

"""What a trained network is worth: predictions, metrics with intervals, and the files that show them."""
