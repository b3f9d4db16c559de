"""The whole platform on one machine under a real load: every service, two agents, real workers."""
