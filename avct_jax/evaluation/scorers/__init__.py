"""Networks that judge videos."""
