"""What is changed in requests and replies: header fields, paths, redirects."""
