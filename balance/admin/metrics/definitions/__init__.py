"""The metrics by what they are about: one table each, free of the library that writes them."""
