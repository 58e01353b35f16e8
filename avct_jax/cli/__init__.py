"""What `avct` does, one file a subcommand: `add` describes it to argparse, `run` does it."""
