"""The dashboard over HTTP, as its users, strangers and attackers meet it."""
