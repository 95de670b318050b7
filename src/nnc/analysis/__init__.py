"""Facts about IR that several passes and kernels need; nothing here changes IR."""
