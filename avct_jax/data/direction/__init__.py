"""What a director says of a face: expressions, where it looks, when it blinks, whose head it follows, cues."""
