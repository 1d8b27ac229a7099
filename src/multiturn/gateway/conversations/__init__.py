"""What can be done to a stored conversation, over HTTP."""
