"""What the scheduler is asked over the bus: reads only, answered by any of its processes."""
