"""Who serves a pool, as a source says it: endpoints, answers, and what becomes of them."""
