"""The agent of one GPU node: starts, watches and stops workers, and says how they are."""
