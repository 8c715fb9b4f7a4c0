"""What happened to the villages: layers of several dates, aligned, compared, and followed through time."""
