"""Commands carried out: fold, decide, propose, answer; once, however often they are asked."""
