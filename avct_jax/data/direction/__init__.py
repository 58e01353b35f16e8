"""What a director says of a face: expressions, gaze, blinks, whose head motion it has, cues."""
