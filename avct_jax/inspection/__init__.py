"""What the program sees of a portrait, a sound or a film: facts in lines, and one picture of them."""
