"""Text, flags and environment to a document, and a document to sections; every value with its place."""
