"""What `avct` does, one file a subcommand: `Options` is what it may be asked, `run` does it."""
