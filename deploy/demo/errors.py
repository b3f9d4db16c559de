"""The demo's one error: something a person can put right, said in one sentence."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do next."""
