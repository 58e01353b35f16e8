"""A report as Markdown, as one HTML page, and as a study for people who rate."""
