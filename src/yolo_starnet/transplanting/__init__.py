"""Puts a trained model on another backbone: rows that stay take its tensors, the backbone learns its feature maps."""
