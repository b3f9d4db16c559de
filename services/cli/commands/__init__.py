"""What can be typed after `quartermaster`, one file per subject."""
