"""The pass `bufferize`, one concern a file."""
