"""Decides who may see which camera, and why."""
