"""Cameras to access units, on demand."""
