"""How processes of one instance talk: messages over pipes, and a wakeup when shared memory has changed."""
