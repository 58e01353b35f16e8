"""The networks; each takes one frozen config."""
