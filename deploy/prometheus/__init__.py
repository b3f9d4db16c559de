"""Alert rules over the platform's own metrics."""
