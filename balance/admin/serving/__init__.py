"""The HTTP server of the admin port: who may connect and stay, TLS, time limits and sizes."""
