"""Who may ask on the admin port, how guessing is slowed, and the line that every change leaves."""
