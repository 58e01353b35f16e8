"""From clips to training batches: an index, a sampler, a collation, and where images come from."""
