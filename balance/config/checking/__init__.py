"""Checks that concern several keys together: errors and warnings."""
