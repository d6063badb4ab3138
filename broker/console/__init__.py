"""A page to see the broker, try it and trust it: what it shows, and to whom. Nothing else of the broker needs it."""
