"""The OpenAPI document of the admin API: what can be said to each endpoint, and what it answers."""
