"""Commands: flags become one call. What a call does is decided on the floors below."""
