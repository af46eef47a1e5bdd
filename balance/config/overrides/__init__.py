"""What operators change at run time, and how two configurations differ."""
