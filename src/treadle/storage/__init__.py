"""Where runs and their logs last."""
