"""Clips packed for reading at any place: columns and JPEGs in shards, an index, and Grain's batches."""
