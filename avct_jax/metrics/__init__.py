"""Measures of a talking face."""
