"""Speaking heads in the whole picture that they were taken from."""
