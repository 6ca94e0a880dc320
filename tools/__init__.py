# SPDX-License-Identifier: Apache-2.0

"""What makes and measures the package, and is no part of it."""
