"""What a run shows while it trains: metrics, progress, sheets of images, profiles."""
