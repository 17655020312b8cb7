"""Measures what a model costs: parameters, GFLOPs, milliseconds, megabytes."""
