"""What STS gives, and how long it lasts."""
