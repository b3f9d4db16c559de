"""The kinds of back ends there are; a new one is a file, a line here, and the shared suite."""

from services.deployer.providers.node_agent import NodeAgent

PROVIDERS = {"node_agent": NodeAgent}
