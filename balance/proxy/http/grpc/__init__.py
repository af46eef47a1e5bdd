"""What is special about an exchange that is a gRPC call, or one of gRPC-Web."""
