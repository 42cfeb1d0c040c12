"""Screens put widgets together, show them documents and turn their messages into calls of the connection."""
