"""Audio in, frames out, live: the mesh family with what needs no whole audio."""
