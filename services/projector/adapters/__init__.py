"""The log, the tables and the wake-up, as the projector's handlers want them."""
