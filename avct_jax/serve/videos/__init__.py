"""Videos by jobs: a queue, the process that draws, requests."""
