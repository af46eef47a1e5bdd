"""Questions to authorizers: connections that are kept, bounded in number, and answers that come without a task."""
