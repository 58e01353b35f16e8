"""A portrait and a voice in, frames out: one animator for each family of networks."""
