"""What a model costs: parameters, GFLOPs, milliseconds, megabytes."""
