"""Pure functions of networks and inputs: what the animators compile."""
