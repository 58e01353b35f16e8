"""What is made of one portrait: upright, person and background, layers of the face."""
