"""Admits every picture, or shows none."""
