"""How many instructions a request costs: a figure that does not depend on what else the machine does."""
