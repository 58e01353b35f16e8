"""Work over processes and machines: which part of it is whose, and who does it."""
