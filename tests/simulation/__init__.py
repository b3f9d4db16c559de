"""The real services on a loop whose time, order and accidents all come from one seed."""
