"""The commands that `yolo` does not have."""
