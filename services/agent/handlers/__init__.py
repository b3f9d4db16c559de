"""What the agent does when it is asked, when a worker changes, and when time passes."""
