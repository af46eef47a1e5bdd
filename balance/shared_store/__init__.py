"""State that several machines share, in Redis: the connection, what is stored there and how failures are met."""
