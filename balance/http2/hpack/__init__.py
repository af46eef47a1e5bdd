"""HPACK (RFC 7541): blocks of fields, as bytes of one connection."""
