"""Rules that allow, deny, redirect and route: their conditions, their order, and where they judge a changed path again."""
