"""Request and response bodies of the gateway, the query service and the agent."""
