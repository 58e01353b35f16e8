"""Blocks of networks: plain fields, NHWC."""
