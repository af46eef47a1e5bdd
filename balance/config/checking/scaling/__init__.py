"""What is wrong with `autoscaler`."""
