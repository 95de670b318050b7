"""The door for untrusted bytes: caps, and the only code that opens model files."""
