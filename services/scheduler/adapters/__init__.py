"""What the scheduler reaches besides the bus it follows."""
