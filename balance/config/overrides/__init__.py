"""Backend changes made at run time, and the differences between two configurations."""
