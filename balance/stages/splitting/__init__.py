"""Which of several pools a user goes to: a canary, a weighted split, the two sides of blue-green."""
