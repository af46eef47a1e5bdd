"""Requests of listeners with routes: their way through the stages, and their replies as the stages change them."""
