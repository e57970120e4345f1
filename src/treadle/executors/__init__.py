"""Where steps run: each module carries out what the driver asks, behind one protocol."""
