"""What makes a plan happen: the machine decides, the driver carries, a step runs."""
