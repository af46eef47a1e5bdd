"""gRPC as a proxy sees it: statuses, deadlines, messages in fields, and gRPC-Web. Pure: bytes and numbers."""
