"""Examples: what others write to live beside Quartermaster, each a page, each run by a test."""
