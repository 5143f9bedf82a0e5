"""The processes that are measured, and those that stand around them."""
