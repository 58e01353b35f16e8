"""Training on many devices: how they are laid out, how a state is split over them, and who watches them."""
