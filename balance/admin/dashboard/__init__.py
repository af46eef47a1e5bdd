"""The dashboard's server half: its page, signing in, one document of the instance's state, and the stream of what changes."""
