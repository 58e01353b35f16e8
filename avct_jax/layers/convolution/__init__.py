"""Convolutions, and what is made of them."""
