"""What services may say to each other: types, events, envelopes, HTTP bodies; no I/O."""
