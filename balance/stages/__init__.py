"""Traffic rules: one file each, and one line in STAGES, in the order in which they judge a request."""
