"""From videos to clips: found, cut, tracked, checked, written."""
