"""The scheduler: decides which model runs on which GPU, and says why."""
