"""Audio into features: files, mel spectra, pitch, the features of each family, and voice conversion."""
