"""A camera that is not there: an RTSP server with a true clock, or many cameras from one coded clip."""
