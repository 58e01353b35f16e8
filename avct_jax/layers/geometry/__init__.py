"""Grids, warps, heatmaps and drawn poses: where things are."""
