"""The only wing that changes Ultralytics."""
