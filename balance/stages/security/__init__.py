"""The stages of a route's `security`, in the order of STAGES: header fields, CORS, then who asks."""
