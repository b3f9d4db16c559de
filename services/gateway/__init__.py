"""The gateway: the door for people; commands become facts, reads are forwarded."""
