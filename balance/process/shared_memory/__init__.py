"""The memory that all processes of an instance share: its layout, its locks, and who owns which row."""
