"""Instructions per request, a measure that does not depend on other load of the machine."""
