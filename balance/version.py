"""The version; without imports, since packaging reads it."""

VERSION = "0.1.0"
