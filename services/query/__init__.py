"""Query: the read models and the log over HTTP; SQL in, JSON bytes out."""
