"""How often a client may ask: token buckets and sliding windows, in a table of bounded size that all workers share."""
