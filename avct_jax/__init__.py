"""One portrait and one voice in, a talking face out."""
