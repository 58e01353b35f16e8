"""Variations of pictures, mouths and voices, applied on the device."""
