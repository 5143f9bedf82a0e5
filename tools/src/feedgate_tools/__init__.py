"""Camera simulator, development issuer, demo and load generators."""
