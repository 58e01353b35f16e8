"""Released weights of the paper and its companions, and the proof that they give the same numbers."""
