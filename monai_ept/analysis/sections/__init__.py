# SPDX-License-Identifier: Apache-2.0

"""The sections of the page: each a function from data to sentences, a table, pictures and CSV files."""
