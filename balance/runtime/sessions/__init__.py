"""Sessions: which backend each has, by a token of the cookie, in a table on the board, or in a store of several machines."""
