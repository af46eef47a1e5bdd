"""May it be tried once more, and when: the retry budget, backoff, and the table that says yes or why not."""
