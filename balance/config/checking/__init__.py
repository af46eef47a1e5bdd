"""What is wrong, and what is allowed but probably not meant, although every value is right by itself."""
