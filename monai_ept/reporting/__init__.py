# SPDX-License-Identifier: Apache-2.0

"""What every report shares: figures, pages, tables, numbers in words, tests."""
