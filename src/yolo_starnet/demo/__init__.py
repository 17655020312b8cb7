"""Draws data sets, so that training needs no download."""
