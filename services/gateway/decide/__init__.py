"""Pure decisions: a command and the state in, drafts or a denial out; one file per resource."""
