"""Networks and geometry of the mesh family, LITE: 478 face points and a painted mouth."""
