"""The feedgate command and the one-process composition."""
