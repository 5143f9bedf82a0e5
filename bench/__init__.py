"""What Feedgate costs and how fast it goes dark, measured on this machine: `python -m bench NAME`."""
