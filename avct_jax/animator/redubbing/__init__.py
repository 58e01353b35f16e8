"""A film whose lips are redrawn to another voice."""
