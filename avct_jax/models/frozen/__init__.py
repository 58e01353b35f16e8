"""Networks that are never trained here: they find faces, and measure."""
