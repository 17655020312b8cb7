"""From a config name to a file to the rows of a model. Changes nothing of Ultralytics."""
