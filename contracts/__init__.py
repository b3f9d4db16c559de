"""What services may say to each other: types, events, envelopes and HTTP bodies, without any I/O."""
