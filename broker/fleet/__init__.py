"""What the processes of a fleet share: one Redis, in whatever topology, whose trouble costs little."""
