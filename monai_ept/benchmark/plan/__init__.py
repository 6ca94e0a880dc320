# SPDX-License-Identifier: Apache-2.0

"""From a sweep file to its cells."""
