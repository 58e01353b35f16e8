"""Variations of images, mouths and voices, applied on the device."""
