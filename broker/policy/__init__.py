"""What a route allows: policy files, checked once and compiled; a request only compares."""
