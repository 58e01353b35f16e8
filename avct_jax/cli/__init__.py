"""The command line: options, what is printed, and how failures look; commands/ has what it does."""
