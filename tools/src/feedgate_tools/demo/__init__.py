"""The demo: one camera's story over the real APIs, and a page to try it by hand."""
