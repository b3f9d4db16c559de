"""Watch the nodes: what they are, what runs on them, and whether they answer."""
