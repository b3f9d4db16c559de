"""What the broker is told at boot: who may do what."""
