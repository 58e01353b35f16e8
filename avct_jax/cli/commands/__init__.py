"""What `avct` does, one file a command: `Options` are what it is asked, `run` does it."""
