"""From clips to training batches: an index, a sampler, a collation, and where pictures come from."""
