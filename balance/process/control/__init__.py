"""The control process: health checks, outlier detection, the admin servers. No traffic passes here."""
